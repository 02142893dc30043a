"""Reading JSON that may be cut, missing or from another version, without failing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def number(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def text(value: object, default: str = "") -> str:
    return default if value is None else str(value)


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def records(value: object) -> list[Mapping[str, Any]]:
    """The objects of a JSON array; anything else is left out."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def read_object(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty when the file is absent or cut."""
    try:
        return mapping(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def read_lines(path: Path) -> list[Mapping[str, Any]]:
    """The objects of a JSONL file; a cut last line (a killed run) is left out."""
    rows: list[object] = []
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return records(rows)
