"""Rows of a stage that is not finished: one JSON line each, a cut last line dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fourfold.files import write_jsonl


def read_partial(path: Path) -> list[dict[str, Any]]:
    """The whole rows an interrupted stage left; the file is then ready to be appended to."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    write_jsonl(path, rows)
    return rows
