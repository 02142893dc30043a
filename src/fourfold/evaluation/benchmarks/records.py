"""Records of a public benchmark from files: JSONL, JSON, CSV (with a header or without), Parquet, plain text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fourfold.errors import UserError
from fourfold.files import read_json, read_jsonl, read_text, require_file

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
BLOCK = 2048
"""Bytes of text in a record of a plain text, about."""
HEADLESS = ("question", "A", "B", "C", "D", "answer")
"""The columns of MMLU's own files, which have no header."""
_WORD = re.compile(r"\s*\S{1,400}")


class Record(NamedTuple):
    """One row of a file."""

    values: Mapping[str, Any]
    where: str
    """File and line (row, in Parquet), for errors."""
    subject: str
    """What the file's name or folder says it is about; "" where it only names a split."""
    line: int


def records_in(path: Path, subject: str = "") -> Iterator[Record]:
    """The records of one file, in order; UserError names the line that is none."""
    readers = {".jsonl": read_jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet, ".txt": _blocks}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        require_file(path)
        raise UserError("not a file of records", where=path, expected=", ".join((*SUFFIXES, ".txt")))
    for line, value in reader(path):
        if not isinstance(value, dict):
            raise UserError("not a record", where=f"{path}:{line}", expected="an object with columns by name")
        yield Record(value, f"{path}:{line}", subject, line)


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    whole = read_json(path)
    if not isinstance(whole, list):
        raise UserError("not a list of records", where=path)
    return iter(enumerate(whole, 1))


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    """By header, in whatever case; a first row that ends in a choice's letter is MMLU's, without one."""
    rows = csv.reader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""))
    header: Sequence[str] = ()
    for row in rows:
        if not header:
            headless = len(row) == len(HEADLESS) and row[-1].strip() in HEADLESS[1:5]
            header = HEADLESS if headless else [name if name in HEADLESS else name.strip().lower() for name in row]
            if not headless:
                continue
        if len(row) != len(header):
            columns = f"{len(header)} columns ({', '.join(name or 'a number' for name in header)})"
            raise UserError("a row of another width", where=f"{path}:{rows.line_num}", expected=columns, got=len(row))
        yield rows.line_num, dict(zip(header, row, strict=True))


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    import polars

    require_file(path)
    try:
        frame = polars.read_parquet(path)
    except polars.exceptions.PolarsError as error:
        raise UserError("not a Parquet file", where=path, got=str(error).splitlines()[0]) from None
    return iter(enumerate(frame.iter_rows(named=True), 1))


def _blocks(path: Path) -> Iterator[tuple[int, Any]]:
    """A text in blocks of about `BLOCK` bytes, cut before the white space before a word; each has the one before."""
    before, block, number = "", "", 0
    for word in _WORD.findall(read_text(path).rstrip()):
        if len((block + word).encode()) > BLOCK and block:
            yield (number := number + 1), {"before": before, "text": block}
            before, block = block, ""
        block += word
    if block:
        yield number + 1, {"before": before, "text": block}


def refusal(record: Record, expected: Sequence[str]) -> UserError:
    """The error for a record without the columns of its benchmark."""
    return UserError(
        "not a question of this task",
        where=record.where,
        expected=" or ".join(expected),
        got=", ".join(str(name) for name in record.values) or "no columns",
    )
