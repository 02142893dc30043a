"""Finished pieces of an evaluation are kept: run again, and only what is missing is done."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from fourfold.errors import UserError
from fourfold.files import append_jsonl, hash_value, read_json, write_json, write_jsonl
from fourfold.progress import say

FORMAT = 1
"""Part of every key; goes up when what a cell holds changes its meaning."""

Cell = dict[str, Any]


class Pieces(NamedTuple):
    """The values of a cell, made part by part."""

    values: list[Any]
    seconds: float
    """Of the model's work, over all runs it took."""


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


def kept_in_parts(
    folder: Path,
    key: Mapping[str, Any],
    parts: Iterable[Sequence[int]],
    make: Callable[[Sequence[int]], Sequence[Any]],
    done: Callable[[int], None] = lambda count: None,
) -> Pieces:
    """One JSON value a number, made part by part; what a killed run had finished is not made again.

    `parts` are the numbers 0, 1, … in any order, some at a time; `done` hears how many are finished. The values lie in
    a file beside the cell, a line a part, until `forget_parts` removes it.
    """
    path = _parts_path(folder, key)
    values: dict[int, Any] = {}
    seconds = 0.0
    for line in _whole_lines(path):
        values |= zip(line["numbers"], line["values"], strict=True)
        seconds += line["seconds"]
    done(len(values))
    for part in parts:
        if not (missing := [number for number in part if number not in values]):
            continue
        began = time.perf_counter()
        made = list(make(missing))
        spent = time.perf_counter() - began
        append_jsonl(path, {"numbers": missing, "values": made, "seconds": spent})
        values |= zip(missing, made, strict=True)
        seconds += spent
        done(len(missing))
    return Pieces([values[number] for number in sorted(values)], seconds)


def answers_path(folder: Path, key: Mapping[str, Any]) -> Path:
    """Where an endpoint's answers lie while a part is made, as each may have cost money."""
    return cell_path(folder, key).with_suffix(".answers")


def forget_parts(folder: Path, key: Mapping[str, Any]) -> None:
    """Remove the parts and answers of a cell that is whole."""
    _parts_path(folder, key).unlink(missing_ok=True)
    shutil.rmtree(answers_path(folder, key), ignore_errors=True)


def _parts_path(folder: Path, key: Mapping[str, Any]) -> Path:
    return cell_path(folder, key).with_suffix(".parts.jsonl")


def _whole_lines(path: Path) -> list[Any]:
    """The lines up to the one that a kill cut short, which goes."""
    if not path.exists():
        return []
    lines = []
    with suppress(ValueError):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                lines.append(json.loads(line))
    write_jsonl(path, lines)
    return lines
