"""A data file read within bounds: JSON lines, a JSON list, Parquet or plain text, each record with its line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars

from fourfold.errors import UserError
from fourfold.files import require_file
from fourfold.progress import track
from fourfold.workflow.doctor.data.layouts import Layout, Row, row_of
from fourfold.workflow.doctor.findings import Finding, Unseen, Words, kind, listed
from fourfold.workflow.doctor.model import Model

DATA_FILES = (".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".md", ".csv", ".tsv")
MOST_BYTES = 100_000_000
"""Of a file that are read without --deep."""
LONGEST_LINE = 50_000_000
LONGEST_PARAGRAPH = 1000
"""Lines of a text without empty ones that are taken together."""
BATCH = 10_000

EMPTY = kind("data-empty")
BAD_LINE = kind("data-line-broken")
NOT_TEXT = kind("data-not-utf8")
UNREADABLE = kind("data-unreadable")
KINDS = (EMPTY, BAD_LINE, NOT_TEXT, UNREADABLE)


@dataclass(kw_only=True)
class Data:
    """A data file, its records in order, and what they are to be checked against."""

    path: Path
    rows: list[Row]
    model: Model | None = None
    context: int | None = None
    """Tokens of a training row; None: the model's own."""
    against: tuple[Path, ...] = ()
    """Evaluation sets whose items should not occur here."""
    troubles: list[Finding] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """The layout of most records."""
        counts = Counter(row.layout for row in self.rows)
        return counts.most_common(1)[0][0] if counts else "unknown"

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if not row.problem]

    def at(self, row: Row | int) -> str:
        return f"{self.path.name}:{row if isinstance(row, int) else row.line}"


class Lines:
    """The raw records of a file; lines that are none are kept apart."""

    def __init__(self, path: Path, limit: int | None) -> None:
        self.path = path
        self.limit = limit
        self.broken: dict[int, str] = {}
        self.foreign: list[int] = []
        self.left = 0
        """Bytes not read."""

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        suffix = self.path.suffix.lower()
        if suffix == ".parquet":
            yield from self._parquet()
        elif suffix in (".csv", ".tsv"):
            yield from self._table("\t" if suffix == ".tsv" else ",")
        elif suffix == ".json" and self._is_list():
            yield from self._list()
        else:
            yield from self._paragraphs() if suffix in (".txt", ".md") else self._lines()

    def _is_list(self) -> bool:
        with self.path.open("rb") as stream:
            return stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["

    def _texts(self) -> Iterator[tuple[int, str]]:
        """Lines that are UTF-8, up to the limit."""
        size = self.path.stat().st_size
        with self.path.open("rb") as stream:
            number = 0
            while raw := stream.readline(LONGEST_LINE):
                number += 1
                if self.limit is not None and stream.tell() > self.limit:
                    self.left = size - stream.tell() + len(raw)
                    return
                try:
                    yield number, (raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw).decode("utf-8")
                except UnicodeDecodeError:
                    self.foreign.append(number)

    def _lines(self) -> Iterator[tuple[int, Any]]:
        for number, text in self._texts():
            try:
                if text.strip():
                    yield number, json.loads(text)
            except (ValueError, RecursionError) as error:
                self.broken[number] = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"

    def _paragraphs(self) -> Iterator[tuple[int, str]]:
        """Of a plain text: lines up to an empty one."""
        first, lines = 1, list[str]()
        for number, text in self._texts():
            if text.strip() and len(lines) < LONGEST_PARAGRAPH:
                first = first if lines else number
                lines.append(text)
            elif lines:
                yield first, "".join(lines)
                first, lines = number, [text] if text.strip() else []
        if lines:
            yield first, "".join(lines)

    def _list(self) -> Iterator[tuple[int, Any]]:
        size = self.path.stat().st_size
        if self.limit is not None and size > self.limit:
            self.left = size
            return
        values = json.loads(self.path.read_bytes())
        yield from enumerate(values if isinstance(values, list) else [values], 1)

    def _parquet(self) -> Iterator[tuple[int, Any]]:
        frame = polars.scan_parquet(self.path)
        number, taken = 0, 0
        while True:
            part = frame.slice(number, BATCH).collect()
            for record in part.iter_rows(named=True):
                number += 1
                yield number, record
            taken += int(part.estimated_size())
            if len(part) < BATCH:
                return
            if self.limit is not None and taken > self.limit:
                self.left = max(self.path.stat().st_size // 2, 1)
                return

    def _table(self, separator: str) -> Iterator[tuple[int, Any]]:
        count = None if self.limit is None else self.limit // 1000
        frame = polars.read_csv(self.path, separator=separator, infer_schema=False, n_rows=count)
        yield from enumerate(frame.iter_rows(named=True), 2)


def open_data(
    path: Path, *, model: Model | None = None, context: int | None = None, against: tuple[Path, ...] = (),
    deep: bool = False,
) -> Data:  # fmt: skip
    """Read a data file as far as it can be read; UserError only where there is none."""
    require_file(path)
    if path.suffix.lower() not in DATA_FILES:
        raise UserError("no reader for this kind of data file", where=path, expected=", ".join(DATA_FILES))
    for other in against:
        require_file(other)
    lines = Lines(path, None if deep else MOST_BYTES)
    data = Data(path=path, rows=[], model=model, context=context, against=against)
    try:
        for line, record in track(lines, f"read {path.name}", unit="records"):
            data.rows.append(row_of(line, record))
    except (ValueError, RecursionError, OSError, polars.exceptions.PolarsError) as error:
        data.troubles.append(UNREADABLE.at(path.name, reason=" ".join(str(error).split())[:160]))
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how a Rust package fails
            raise
        data.troubles.append(UNREADABLE.at(path.name, reason="the reader of Parquet files gave up"))
    _tell(data, lines)
    return data


def _tell(data: Data, lines: Lines) -> None:
    if lines.broken:
        first = next(iter(lines.broken))
        data.troubles.append(
            BAD_LINE.at(data.at(first), count=len(lines.broken), reason=lines.broken[first], lines=listed(lines.broken))
        )
    if lines.foreign:
        first = lines.foreign[0]
        data.troubles.append(NOT_TEXT.at(data.at(first), count=len(lines.foreign), lines=listed(lines.foreign)))
    if lines.left:
        read = f"{len(data.rows):,}"
        told = Words(f"the records after the first {read} (--deep)", f"前 {read} 条之后的记录（--deep）")
        data.unseen.append(Unseen(told))
    elif not data.rows and not data.troubles:
        data.troubles.append(EMPTY.at(data.path.name))
