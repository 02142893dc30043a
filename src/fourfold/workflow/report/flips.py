"""The items that came out differently, as a table to read: Markdown, CSV or JSON lines by the file's ending."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import write_jsonl, write_text

COLUMNS = ("change", "task", "id", "question", "target", "output_a", "output_b")
WIDTH = 160
ENDINGS = (".md", ".csv", ".jsonl")

Flip = Mapping[str, Any]


def write_flips(flips: Sequence[Flip], path: Path, label_a: str, label_b: str) -> None:
    """Lost items first, then those gained; Markdown cells are cut at WIDTH characters, the other forms are whole."""
    rows = sorted((_row(flip) for flip in flips), key=lambda row: (row["change"] != "lost", row["task"]))
    if path.suffix == ".jsonl":
        write_jsonl(path, rows)
    elif path.suffix == ".csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, stream.getvalue())
    elif path.suffix == ".md":
        write_text(path, _markdown(rows, label_a, label_b))
    else:
        raise UserError("flips are written to a table", where=path, expected=" or ".join(ENDINGS))


def _row(flip: Flip) -> dict[str, Any]:
    return {"change": "gained" if flip["score_b"] > flip["score_a"] else "lost", **flip}


def _markdown(rows: Sequence[Flip], label_a: str, label_b: str) -> str:
    headings = ("change", "task", "item", "question", "right answer", f"A: {label_a}", f"B: {label_b}")
    lines = [[_cell(row[name]) for name in COLUMNS] for row in rows]
    table = [headings, ["---"] * len(headings), *lines]
    counts = {change: sum(row["change"] == change for row in rows) for change in ("gained", "lost")}
    title = f"# {len(rows)} items came out differently: {counts['gained']} gained, {counts['lost']} lost"
    return "\n".join([title, "", *("| " + " | ".join(map(str, line)) + " |" for line in table), ""])


def _cell(value: object) -> str:
    """On one line, without anything Markdown would take for markup."""
    text = " ".join(str(value).split())
    text = text[:WIDTH] + "…" if len(text) > WIDTH else text
    for sign in "\\|<>*_`[]#":
        text = text.replace(sign, f"\\{sign}")
    return text
