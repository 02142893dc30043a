"""Text files as word ids, by as many threads as there are processors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from fourfold.files import require_file
from fourfold.kernels import Indices, Integers, WordIndex, processors
from fourfold.models.ngram.word_tokenizer import END, MARKS, START, UNKNOWN, text_of
from fourfold.progress import Task, say, task

MEGABYTE = 1e6
BLOCK = 1 << 20
"""Bytes of text turned into ids at a time."""
STRETCH = 1 << 22
"""Bytes of text that are worth a thread."""


class _Stretch(NamedTuple):
    """Whole lines of a file."""

    path: Path
    start: int
    end: int


class _Reader:
    """One pass over some stretches; what it says at the end is said of all that ran side by side."""

    def __init__(self, work: Task) -> None:
        self.skipped = 0
        self._work, self._lock = work, Lock()

    def blocks(self, stretches: Sequence[_Stretch], index: WordIndex) -> Iterator[tuple[Indices, Integers]]:
        """The ids of the words of some lines after the other, and where each line ends among them."""
        for block in chain.from_iterable(map(_blocks, stretches)):
            ids, ends = index.add(block)
            marks = ids < len(MARKS)
            skipped = int(np.count_nonzero(marks))
            if skipped:
                ends = ends - np.concatenate([[0], np.cumsum(marks)])[ends]
                ids = ids[~marks]
            yield ids, ends
            with self._lock:
                self.skipped += skipped
                self._work.advance(len(block) / MEGABYTE)

    def finish(self, index: WordIndex) -> None:
        if self.skipped:
            say(f"Skipped {self.skipped} marks ({START}, {END}, {UNKNOWN}) spelt in the text.")
        _check_utf8(index)


def read_word_blocks(paths: Sequence[Path], index: WordIndex) -> Iterator[tuple[Indices, Integers]]:
    """The ids of the words of all files, block by block, and where each line ends among those of its block."""
    files = _files(paths)
    with task("read text", _size(files), "MB") as work:
        reader = _Reader(work)
        yield from reader.blocks(files, index)
    reader.finish(index)


def read_words(paths: Sequence[Path], index: WordIndex) -> tuple[Indices, Integers]:
    """All of them at once; each thread reads a stretch with words of its own, numbered as one thread would have."""
    files = _files(paths)
    shares = _shares(files)
    indexes = [index, *(WordIndex(index.words(), characters=index.characters) for _ in shares[1:])]
    with task("read text", _size(files), "MB") as work, ThreadPoolExecutor(len(shares)) as pool:
        reader = _Reader(work)
        found = list(pool.map(lambda share, own: list(reader.blocks(share, own)), shares, indexes))
    parts, ends, read = [np.empty(0, np.int32)], [np.empty(0, np.int64)], 0
    for blocks, own in zip(found, indexes, strict=True):
        new_ids = None if own is index else index.absorb(own)
        for ids, line_ends in blocks:
            parts.append(ids if new_ids is None else new_ids[ids])
            ends.append(line_ends + read)
            read += len(ids)
    reader.finish(index)
    return np.concatenate(parts), np.concatenate(ends)


def _files(paths: Sequence[Path]) -> list[_Stretch]:
    for path in paths:
        require_file(path)
    return [_Stretch(path, 0, path.stat().st_size) for path in paths]


def _size(files: Sequence[_Stretch]) -> float:
    return sum(file.end for file in files) / MEGABYTE


def _shares(files: Sequence[_Stretch]) -> list[list[_Stretch]]:
    """The files in stretches of whole lines, about equally many bytes for each thread."""
    total = sum(file.end for file in files)
    threads = max(1, min(processors(), total // STRETCH))
    shares: list[list[_Stretch]] = [[]]
    left = total // threads
    for file in files:
        start = 0
        while start < file.end:
            end = file.end if len(shares) == threads else _line_end(file, start + left)
            shares[-1].append(_Stretch(file.path, start, end))
            left -= end - start
            start = end
            if left <= 0 and len(shares) < threads:
                shares.append([])
                left = total // threads
    return shares


def _line_end(file: _Stretch, place: int) -> int:
    """Where the line that `place` is in ends, or the file."""
    if place >= file.end:
        return file.end
    with file.path.open("rb") as stream:
        stream.seek(place)
        return min(place + len(stream.readline()), file.end)


def _blocks(stretch: _Stretch) -> Iterator[bytes]:
    """The bytes of a stretch, some whole lines at a time."""
    with stretch.path.open("rb") as stream:
        stream.seek(stretch.start)
        left = stretch.end - stretch.start
        while left > 0 and (block := stream.read(min(BLOCK, left))):
            if len(block) < left:
                block += stream.readline()
            left -= len(block)
            yield block


def _check_utf8(index: WordIndex) -> None:
    """Raise UserError that shows the first word that is none."""
    try:
        index.lines().decode()
    except UnicodeDecodeError:
        for word in index.words():
            text_of(word)
