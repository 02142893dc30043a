"""Count the n-grams of a text that is larger than memory: sorted runs on disk, merged order by order.

The text is cut into stretches. Of each, the keys (prefix, last token) of an order are sorted and the distinct ones
written: a run. The runs are merged into the table of the order, and the row of each position is written down, which
the keys of the next order are made of. Every file is read and written from front to back; the tables are those of
`count_ngrams`, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.kernels import Indices, Integers, group_keys
from fourfold.models.ngram.counts import NGramCounts, Shape, Stream, check_stream, mark_documents, with_continuations
from fourfold.progress import track

BYTES_A_POSITION = 96
"""That sorting takes for each position of a stretch."""
BYTES_A_KEY = 128
"""That merging takes for each key it holds."""
LEAST_MEMORY = 16_000_000
RENAMED_AT_ONCE = 1 << 20
MOST_ROWS = 2**31 - 1


class DiskStream:
    """Marked documents written to files as they come."""

    def __init__(self, folder: Path, bos: int | None, eos: int | None) -> None:
        self._folder, self._marks = folder, (bos, eos)

    def append(self, tokens: NDArray[np.integer], ends: Integers) -> None:
        """More documents: their tokens, and where each ends among these."""
        part = mark_documents(tokens, ends, *self._marks)
        _append(self._folder / "tokens", part.tokens)
        _append(self._folder / "depth", part.depth)

    def rename(self, new_ids: Indices) -> None:
        """Give every token a new id."""
        old = _mapped(self._folder / "tokens", np.int32)
        for start in range(0, len(old), RENAMED_AT_ONCE):
            _append(self._folder / "renamed", new_ids[old[start : start + RENAMED_AT_ONCE]])
        (self._folder / "renamed").replace(self._folder / "tokens")

    def read(self) -> Stream:
        tokens, depth = _mapped(self._folder / "tokens", np.int32), _mapped(self._folder / "depth", np.uint8)
        return Stream(tokens=tokens, depth=depth)


class NewFiles:
    """Arrays in files without a name: the system keeps of them in memory what there is room for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, size: int, dtype: Any) -> Any:
        if not size:
            return np.empty(0, dtype)
        with TemporaryFile(dir=self._folder) as stream:
            return np.memmap(stream, dtype, mode="w+", shape=size)


@dataclass(frozen=True)
class _Run:
    """A stretch of the text on its way through one order; a file for each column."""

    start: int
    end: int
    place: Path

    def column(self, name: str, dtype: Any) -> Any:
        return _mapped(self.place.with_suffix(f".{name}"), dtype)

    def write(self, name: str, values: NDArray[Any]) -> None:
        _append(self.place.with_suffix(f".{name}"), values)

    def remove(self) -> None:
        for path in self.place.parent.glob(f"{self.place.name}.*"):
            path.unlink()


# budget: `count_ngrams` and the two limits
def count_ngrams_on_disk(
    stream: Stream,
    order: int,
    vocabulary_size: int,
    bos_id: int | None,
    eos_id: int | None,
    folder: Path,
    memory: int,
) -> NGramCounts:
    """`count_ngrams` with at most about `memory` bytes at a time; its tables stay in files in `folder`."""
    check_stream(stream, order, vocabulary_size)
    if memory < LEAST_MEMORY:
        raise UserError("too little memory to count with", expected=f"at least {LEAST_MEMORY:,} bytes", got=memory)
    size = memory // BYTES_A_POSITION
    cuts = [(start, min(start + size, len(stream.tokens))) for start in range(0, len(stream.tokens), size)]
    nodes: Indices = stream.tokens
    first = _first(stream, cuts, vocabulary_size, bos_id)
    shapes, counts, openings = [first[0]], [first[1]], [first[2]]
    for length in track(range(2, order + 1), "count n-grams", unit="orders"):
        runs = [_Run(start, end, folder / f"run-{length}-{start}") for start, end in cuts]
        for run in runs:
            _sort_run(stream, nodes, run, length, vocabulary_size)
        shape, found = _merge(runs, folder / f"order-{length}", vocabulary_size, memory)
        nodes, opening = _place(stream, runs, folder / f"nodes-{length}", length)
        shapes.append(shape)
        counts.append(found)
        openings.append(opening)
        (folder / f"nodes-{length - 1}").unlink(missing_ok=True)
    orders = with_continuations(shapes, counts, openings, bos_id, NewFiles(folder))
    return NGramCounts(orders=orders, vocabulary_size=vocabulary_size, bos_id=bos_id, eos_id=eos_id)


def _first(
    stream: Stream, cuts: Sequence[tuple[int, int]], vocabulary_size: int, bos_id: int | None
) -> tuple[Shape, Indices, Indices]:
    """Order 1: a row for every token."""
    counts, openings = np.zeros(vocabulary_size, np.int64), []
    for start, end in cuts:
        tokens, inside = stream.tokens[start:end], stream.depth[start:end] > 0
        counts += np.bincount(tokens if bos_id is None else tokens[inside], minlength=vocabulary_size)
        openings.append(np.unique(tokens[~inside]))
    empty = np.zeros(vocabulary_size, np.int32)
    shape = np.arange(vocabulary_size, dtype=np.int32), empty, empty
    return shape, counts.astype(np.int32), np.unique(np.concatenate(openings))


def _sort_run(stream: Stream, nodes: Indices, run: _Run, length: int, vocabulary_size: int) -> None:
    """The distinct keys of a stretch with their counts and suffixes, and which key each position has."""
    inside = np.flatnonzero(stream.depth[run.start : run.end] >= length - 1) + run.start
    keys = nodes[inside - 1].astype(np.int64) * vocabulary_size + stream.tokens[inside]
    groups = group_keys(keys)
    run.write("keys", groups.keys)
    run.write("counts", groups.counts)
    run.write("suffixes", nodes[inside[groups.first]])
    run.write("local", groups.inverse)


def _merge(runs: Sequence[_Run], table: Path, vocabulary_size: int, memory: int) -> tuple[Shape, Indices]:
    """The runs as one table, sorted; each run is told which row each of its keys became."""
    kinds = {"keys": np.int64, "counts": np.int64, "suffixes": np.int32}
    columns = [[run.column(name, kind) for name, kind in kinds.items()] for run in runs]
    at_once = max(1, memory // (BYTES_A_KEY * len(runs)))
    cursors, rows = [0] * len(runs), 0
    while any(cursor < len(column[0]) for cursor, column in zip(cursors, columns, strict=True)):
        ends = _ends([column[0] for column in columns], cursors, at_once)
        parts = [slice(*both) for both in zip(cursors, ends, strict=True)]
        keys, counts, suffixes = (
            np.concatenate([column[name][part] for column, part in zip(columns, parts, strict=True)])
            for name in range(len(kinds))
        )
        groups = group_keys(keys)
        _append(table.with_suffix(".words"), (groups.keys % vocabulary_size).astype(np.int32))
        _append(table.with_suffix(".prefixes"), (groups.keys // vocabulary_size).astype(np.int32))
        _append(table.with_suffix(".suffixes"), suffixes[groups.first])
        sums = np.bincount(groups.inverse, weights=counts, minlength=len(groups.keys))  # exact below 2**53
        _append(table.with_suffix(".counts"), sums.astype(np.int32))
        if rows + len(groups.keys) > MOST_ROWS:
            raise UserError("too many different n-grams", got=f"more than {MOST_ROWS:,}", advice="Take a lower order.")
        bounds = np.cumsum([part.stop - part.start for part in parts])[:-1]
        for run, ids in zip(runs, np.split(groups.inverse + np.int32(rows), bounds), strict=True):
            run.write("rows", ids)
        cursors, rows = ends, rows + len(groups.keys)
    shape = tuple(_mapped(table.with_suffix(f".{name}"), np.int32) for name in ("words", "prefixes", "suffixes"))
    return (shape[0], shape[1], shape[2]), _mapped(table.with_suffix(".counts"), np.int32)


def _ends(runs: Sequence[Integers], cursors: Sequence[int], at_once: int) -> list[int]:
    """How far each run is taken: to the smallest of the last keys looked at, which none has passed then."""
    heads = [keys[cursor : cursor + at_once] for keys, cursor in zip(runs, cursors, strict=True)]
    pivot = min(int(head[-1]) for head in heads if len(head))
    taken = (int(np.searchsorted(head, pivot, side="right")) for head in heads)
    return [cursor + count for cursor, count in zip(cursors, taken, strict=True)]


def _place(stream: Stream, runs: Sequence[_Run], path: Path, length: int) -> tuple[Indices, Indices]:
    """The row of the n-gram that ends at each position, in a file; and the rows of those that begin a document."""
    openings = []
    for run in runs:
        depth = stream.depth[run.start : run.end]
        nodes = np.zeros(run.end - run.start, np.int32)
        nodes[depth >= length - 1] = run.column("rows", np.int32)[run.column("local", np.int32)]
        _append(path, nodes)
        openings.append(np.unique(nodes[depth == length - 1]))
        run.remove()
    return _mapped(path, np.int32), np.unique(np.concatenate(openings))


def _append(path: Path, values: NDArray[Any]) -> None:
    with path.open("ab") as stream:
        stream.write(np.ascontiguousarray(values).data)


def _mapped(path: Path, dtype: Any) -> Any:
    """The numbers of a file, on disk until they are looked at; an empty file cannot be mapped."""
    return np.memmap(path, dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)
