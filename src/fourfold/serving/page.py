"""GET /docs: the OpenAPI document as a plain page. No script and nothing from elsewhere is loaded: the usual pages run
a script from another server in the origin of this one, where it could ask the model anything."""

from __future__ import annotations

import re
from html import escape
from typing import Any

POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
STYLE = "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}code,pre{background:#f3f3f3}"


def docs_page(document: dict[str, Any]) -> str:
    """Routes with their fields, as HTML."""
    schemas = document.get("components", {}).get("schemas", {})
    parts = [f"<p>{escape(document['info'].get('description', ''))} "
             'The whole, for machines: <a href="openapi.json">openapi.json</a>.</p>']  # fmt: skip
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{_prose(operation.get('description') or operation.get('summary', ''))}</p>")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            name = body.get("$ref", "").rpartition("/")[2]
            if name in schemas:
                parts.append(_fields(schemas[name]))
    title = escape(document["info"]["title"])
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f"<style>{STYLE}</style><h1>{title}</h1>{''.join(parts)}</html>")  # fmt: skip


def _fields(schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = "".join(
        f"<li><code>{escape(name)}</code>: {escape(_kind(field))}{', needed' if name in needed else ''}</li>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<ul>{rows}</ul>"


def _kind(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(option) for option in field["anyOf"]))
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    return str(field.get("const") or field.get("type") or field.get("$ref", "").rpartition("/")[2] or "anything")


def _prose(text: str) -> str:
    """HTML of a sentence, what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
