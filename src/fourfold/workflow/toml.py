"""Recipes as text: find the sections of a TOML file, apply `--set`, write a document back."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from fourfold.errors import UserError, unknown_name

SECTION = re.compile(r"^\s*\[\s*([A-Za-z0-9_-]+)\s*\.\s*([A-Za-z0-9_-]+)", re.MULTILINE)
BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")


def read_document(text: str, where: str) -> dict[str, Any]:
    """The TOML document, or a UserError with the line where it stops being one."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError("not valid TOML", where=where, got=str(error)) from None


def section_order(text: str) -> list[str]:
    """The `kind.name` of every section header, in file order (tomllib groups them by kind)."""
    return list(dict.fromkeys(f"{kind}.{name}" for kind, name in SECTION.findall(text)))


def apply_overrides(document: dict[str, Any], overrides: Iterable[str]) -> None:
    """Set `key=value` or `kind.name.key[.key]=value` in place; a value that is no TOML is a bare string."""
    for override in overrides:
        path, separator, value = override.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not separator or not all(BARE_KEY.match(key) for key in keys):
            raise UserError("not an override", where="--set", expected="kind.name.key=value", got=override)
        _require_section(document, keys, override)
        table = document
        for depth, key in enumerate(keys[:-1]):
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise UserError(f"'{'.'.join(keys[: depth + 1])}' is a value, not a table", where=f"--set {override}")
        table[keys[-1]] = _override_value(value.strip())


def _require_section(document: Mapping[str, Any], keys: list[str], override: str) -> None:
    """An override changes a section of the recipe; it cannot make one, or a misspelling would."""
    tables = {kind: names for kind, names in document.items() if isinstance(names, dict)}
    section = ".".join(keys[:2])
    known = [f"{kind}.{name}" for kind, names in tables.items() for name in names]
    if len(keys) > 2 and section not in known:
        raise unknown_name("section", section, known, where=f"--set {override}")


def _override_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def write_document(document: Mapping[str, Any], order: Iterable[str]) -> str:
    """TOML text of a recipe: top-level keys, then one section a stage in the given order."""
    lines = [f"{key} = {_value(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for section in order:
        kind, _, name = section.partition(".")
        lines += ["", f"[{section}]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in document[kind][name].items()]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if BARE_KEY.match(key) else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    return str(value)
