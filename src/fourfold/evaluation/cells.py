"""Finished pieces of an evaluation, kept whole: run again, and only what is missing is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import hash_value, read_json, write_json
from fourfold.progress import say

FORMAT = 1
"""Part of every key; goes up when what a cell holds changes its meaning."""

Cell = dict[str, Any]


def kept_or_made(folder: Path, key: Mapping[str, Any], make: Callable[[], Cell]) -> Cell:
    """The cell of this key: read where it was finished before, else made and written at once.

    `key` holds everything that decides the outcome. A damaged cell is said and made again.
    """
    path = cell_path(folder, key)
    if path.exists():
        try:
            kept = read_json(path)
            if isinstance(kept, dict) and kept.get("key") == dict(key):
                return kept
            say(f"{path.name} is not what its name says: done again")
        except UserError as error:
            say(f"{error} It is done again.")
    cell = {"key": dict(key), **make()}
    write_json(path, cell)
    return cell


def cell_path(folder: Path, key: Mapping[str, Any]) -> Path:
    return folder / "cells" / f"{hash_value(dict(key))[:16]}.json"
