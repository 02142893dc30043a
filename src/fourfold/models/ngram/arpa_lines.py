"""The lines of an ARPA file and the n-grams in them."""

from __future__ import annotations

import gzip
import math
import zlib
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError

LINES_AT_ONCE = 1 << 17


class Section(NamedTuple):
    """The n-grams of one order as they stand in the file."""

    grams: NDArray[np.int32]
    log_prob: NDArray[np.float64]
    back_off: NDArray[np.float64]
    """NaN where the line has none."""


class Lines:
    """The lines of the file, counted, with reading errors turned into sentences."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError("no such file", where=path)
        self.path, self.number = path, 0
        self._lines = self._read()
        self._ahead: deque[str] = deque()

    def _read(self) -> Iterator[str]:
        opener = gzip.open if self.path.suffix == ".gz" else open
        try:
            with opener(self.path, "rt", encoding="utf-8", newline="\n") as stream:
                yield from stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError("damaged or cut gzip file", where=self.path, got=str(error)) from None
        except UnicodeDecodeError:
            raise self.error("not UTF-8 text") from None

    def next(self) -> str:
        self.number += 1
        line = self._ahead.popleft() if self._ahead else next(self._lines, None)
        if line is None:
            raise self.error("the file ends too early", advice="It was cut; get a whole copy.")
        return line

    def peek(self, count: int) -> list[str]:
        """The next lines, `count` or as many as there are, without taking them."""
        self._ahead.extend(islice(self._lines, count - len(self._ahead)))
        return list(self._ahead)

    def skip_ahead(self) -> None:
        """Take all the lines that `peek` showed."""
        self.number += len(self._ahead)
        self._ahead.clear()

    def next_full(self) -> str:
        line = self.next().strip()
        while not line:
            line = self.next().strip()
        return line

    def error(self, what: str, **parts: object) -> UserError:
        advice = parts.pop("advice", None)
        return UserError(what, where=f"{self.path}:{self.number}", advice=str(advice) if advice else None, **parts)


class Columns:
    """Reads blocks of regular lines of one order by columns."""

    def __init__(self, order: int, words: list[str], last: bool) -> None:
        self._order, self._last = order, last
        import polars  # 23 MB, which nobody else needs

        self._words = polars.Enum(words)

    def read(self, block: list[str]) -> Section | None:
        """The n-grams of the block, or None where any line is not regular."""
        import polars

        order = self._order
        text = (
            polars.Series(block, dtype=polars.String).str.strip_chars("\r\n").str.replace_all("\t", " ", literal=True)
        )
        fields = text.str.split(" ")
        short = fields.list.len() == order + 1
        if not (short if self._last else short | (fields.list.len() == order + 2)).all():
            return None
        log_prob = fields.list.get(0).cast(polars.Float64, strict=False)
        back_off = fields.list.get(order + 1, null_on_oob=True).cast(polars.Float64, strict=False)
        words = [fields.list.get(i).cast(self._words, strict=False).to_physical() for i in range(1, order + 1)]
        if log_prob.null_count() or not (log_prob <= 0).all() or any(column.null_count() for column in words):
            return None
        if back_off.null_count() != short.sum() or not back_off.drop_nulls().is_finite().all():
            return None
        grams = np.stack([column.to_numpy() for column in words], axis=1).astype(np.int32)
        return Section(grams, log_prob.to_numpy(), back_off.fill_null(math.nan).to_numpy())


def read_section(lines: Lines, order: int, size: int, vocabulary: dict[str, int], last: bool) -> Section:
    """The n-grams of one order; the words of order 1 are added to `vocabulary`.

    Blocks of regular lines are read by columns; a block with anything else in it is read line by line, which
    forgives extra spaces and names what it cannot.
    """
    title = lines.next_full()
    if title != f"\\{order}-grams:":
        raise lines.error("wrong section or wrong count", expected=f"\\{order}-grams:", got=repr(title[:40]))
    columns = Columns(order, list(vocabulary), last) if order > 1 else None
    parts = [Section(np.empty((0, order), np.int32), np.empty(0), np.empty(0))]
    row = 0
    while row < size:
        block = lines.peek(min(LINES_AT_ONCE, size - row))
        part = columns.read(block) if columns and block else None
        if part is not None:
            lines.skip_ahead()
        else:
            part = _read_lines(lines, order, len(block) or 1, vocabulary, last, (row, size))
        parts.append(part)
        row += len(part.log_prob)
    return Section(*map(np.concatenate, zip(*parts, strict=True)))


def _read_lines(
    lines: Lines, order: int, count: int, vocabulary: dict[str, int], last: bool, place: tuple[int, int]
) -> Section:
    grams = np.empty((count, order), np.int32)
    numbers = np.full((2, count), np.nan)
    for row in range(count):
        line = lines.next()
        fields = [field for field in line.strip("\r\n").replace("\t", " ").split(" ") if field]
        if len(fields) not in (order + 1, order + 2 - last):
            if not line.strip() or line.startswith("\\"):
                done, size = place
                raise lines.error("fewer n-grams than the header says", expected=size, got=done + row)
            raise lines.error(f"not a {order}-gram line", got=repr(line.strip()[:60]))
        numbers[0, row] = _log_prob(lines, fields[0])
        if len(fields) == order + 2:
            numbers[1, row] = _float_or_nan(fields[-1])
            if not math.isfinite(numbers[1, row]):
                raise lines.error("a back-off weight is not a number", got=repr(fields[-1]))
        grams[row] = _ids(lines, fields[1 : order + 1], vocabulary)
    return Section(grams, numbers[0], numbers[1])


def _float_or_nan(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _log_prob(lines: Lines, text: str) -> float:
    value = _float_or_nan(text)
    if math.isnan(value):
        raise lines.error("a log-probability is not a number", got=repr(text))
    if value > 0:
        raise lines.error("a log-probability is above 0", got=text)
    return value


def _ids(lines: Lines, words: list[str], vocabulary: dict[str, int]) -> list[int]:
    if len(words) == 1:
        if words[0] in vocabulary:
            raise lines.error("duplicate n-gram", got=repr(words[0]))
        vocabulary[words[0]] = len(vocabulary)
    try:
        return [vocabulary[word] for word in words]
    except KeyError as error:
        raise lines.error("a word is not among the 1-grams", got=str(error)) from None
