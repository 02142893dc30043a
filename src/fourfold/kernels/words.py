"""Turn raw UTF-8 lines into word ids: one pass over the bytes, and no Python object a word.

The words that are known stand end to end in a pool of bytes, found by open addressing over their FNV-1a hash
(Fowler, Noll, Vo 1991); equal hashes are told apart by the bytes themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels.grouping import Indices, Integers
from fourfold.kernels.jit import compiled

Bytes = NDArray[np.uint8]
Number = TypeVar("Number", bound=np.generic)
_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_NEWLINE, _SPACE = 10, 32
_SEPARATOR = np.array(list("▁".encode()), np.uint8)
"""Stands between words whose characters are read one by one."""


WORDS_AT_ONCE = 1 << 16
"""Of a given list, that are taken up together."""


class _Table(NamedTuple):
    slots: Indices
    """Id of the word a hash leads to, or -1; a power of two of them, at least twice as many as words."""
    hashes: NDArray[np.uint64]
    """Of each word."""
    starts: Integers
    """For each word, where its bytes begin; and where the next ones will."""
    pool: Bytes


class WordIndex:
    """Words and their ids, in the order in which they were met.

    Words are parted by ASCII white space, or with `characters` each character counts as one and any white space
    between two words as one `▁`.
    """

    def __init__(self, words: Iterable[bytes] = (), *, characters: bool = False) -> None:
        self.known = 0
        self._characters = characters
        self._table = _Table(
            np.full(2, -1, np.int32), np.empty(0, np.uint64), np.zeros(1, np.int64), np.empty(0, np.uint8)
        )
        for some in _batched(words):
            self._read(b" ".join(some), False, grow=True)

    @classmethod
    def of_lines(cls, lines: bytes, *, characters: bool = False) -> Self:
        """The words of a list, one a line, in its order; ValueError unless there is one a line, none twice."""
        index = cls(characters=characters)
        ids, ends = index._read(lines, False, grow=True, words=lines.count(b"\n") + 1)
        if not len(ids) == len(ends) == index.known or (np.diff(ends, prepend=0) != 1).any():
            raise ValueError("expected one word a line, none twice")
        return index

    def add(self, lines: bytes) -> tuple[Indices, Integers]:
        """The ids of all words, new ones for new words, and for each line where its words end.

        The last line may lack its newline.
        """
        return self._read(lines, self._characters, grow=True)

    def find(self, lines: bytes) -> tuple[Indices, Integers]:
        """The same with -1 for words that are not known."""
        return self._read(lines, self._characters, grow=False)

    def number(self, word: bytes) -> int:
        """The id of one word, whole; -1 where it is not known."""
        ids, _ = self._read(word, False, grow=False)
        return int(ids[0]) if len(ids) == 1 else -1

    def word(self, number: int) -> bytes:
        """The word of that id."""
        start, end = self._table.starts[number : number + 2].tolist()
        return self._table.pool[start:end].tobytes()

    def words(self) -> list[bytes]:
        """All known words, in the order of their ids."""
        _, _, starts, pool = self._table
        text = pool[: starts[self.known]].tobytes()
        return [text[start:end] for start, end in pairwise(starts[: self.known + 1].tolist())]

    def _read(
        self, lines: bytes, characters: bool, *, grow: bool, words: int | None = None
    ) -> tuple[Indices, Integers]:
        """`words`: as many as there can be, where that is known."""
        text = np.frombuffer(lines, np.uint8)
        count = int(np.count_nonzero(text == _NEWLINE)) + (not lines.endswith(b"\n") and bool(lines))
        if grow:
            self._make_room(len(text), len(text) if words is None else words)
        ids, ends = np.empty(len(text), np.int32), np.empty(count, np.int64)
        written, self.known = _read(text, self._table, self.known, characters, grow, ids, ends)
        return ids[:written].copy(), ends

    def _make_room(self, size: int, new: int) -> None:
        """For so many new words in so many bytes."""
        slots, hashes, starts, pool = self._table
        words = self.known + new + 1
        used = int(starts[self.known])
        if len(hashes) < words:
            hashes, starts = _longer(hashes, 2 * words), _longer(starts, 2 * words + 1)
        if len(pool) < used + size + len(_SEPARATOR):
            pool = _longer(pool, 2 * (used + size + len(_SEPARATOR)))
        if len(slots) < 2 * words:
            slots = np.full(1 << (2 * words).bit_length(), -1, np.int32)
            _fill(slots, hashes[: self.known])
        self._table = _Table(slots, hashes, starts, pool)


def read_words_plain(lines: bytes, known: dict[bytes, int], characters: bool) -> tuple[list[int], list[int]]:
    """`WordIndex.add` with a dictionary."""
    ids: list[int] = []
    ends: list[int] = []
    for line in lines.removesuffix(b"\n").split(b"\n") if lines else []:
        words = line.split()
        if characters:
            words = [character.encode() for character in "▁".join(word.decode() for word in words)]
        ids += [known.setdefault(word, len(known)) for word in words]
        ends.append(len(ids))
    return ids, ends


def _batched(words: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(words)
    while some := list(islice(rest, WORDS_AT_ONCE)):
        yield some


def _longer(array: NDArray[Number], size: int) -> NDArray[Number]:
    longer = np.empty(size, array.dtype)
    longer[: len(array)] = array
    return longer


@compiled
def _read(
    text: Bytes, table: _Table, known: int, characters: bool, grow: bool, ids: Indices, ends: Integers
) -> tuple[int, int]:
    """Fill `ids` and `ends`; returns how many ids there are and how many words are known."""
    written = line = place = begun = 0
    size = len(text)
    while place < size:
        byte = text[place]
        if byte == _NEWLINE:
            ends[line] = written
            line += 1
            begun = written
        if _is_space(byte):
            place += 1
            continue
        if characters and written > begun:
            ids[written], known = _id(_SEPARATOR, 0, len(_SEPARATOR), table, known, grow)
            written += 1
        start = place
        while place < size and not _is_space(text[place]):
            place += 1
            if characters and (place == size or text[place] & 0xC0 != 0x80):
                ids[written], known = _id(text, start, place, table, known, grow)
                written += 1
                start = place
        if not characters:
            ids[written], known = _id(text, start, place, table, known, grow)
            written += 1
    if line < len(ends):
        ends[line] = written
    return written, known


@compiled
def _is_space(byte: int) -> bool:
    """As `bytes.split` has it."""
    return byte == _SPACE or 9 <= byte <= 13


@compiled
def _id(text: Bytes, start: int, end: int, table: _Table, known: int, grow: bool) -> tuple[int, int]:
    """The id of the word text[start:end], a new one (or -1) if need be, and how many words are known then."""
    value = np.uint64(_OFFSET)
    for place in range(start, end):
        value = (value ^ np.uint64(text[place])) * np.uint64(_PRIME)
    last = np.uint64(len(table.slots) - 1)
    slot = (value ^ value >> np.uint64(32)) & last
    while table.slots[slot] >= 0:
        number = table.slots[slot]
        if table.hashes[number] == value and _is_word(text, start, end, table, number):
            return number, known
        slot = (slot + np.uint64(1)) & last
    if not grow:
        return -1, known
    table.slots[slot] = known
    table.hashes[known] = value
    begin = table.starts[known]
    table.pool[begin : begin + end - start] = text[start:end]
    table.starts[known + 1] = begin + end - start
    return known, known + 1


@compiled
def _is_word(text: Bytes, start: int, end: int, table: _Table, number: int) -> bool:
    begin = table.starts[number]
    if table.starts[number + 1] - begin != end - start:
        return False
    place = 0
    while place < end - start and table.pool[begin + place] == text[start + place]:
        place += 1
    return place == end - start


@compiled
def _fill(slots: Indices, hashes: NDArray[np.uint64]) -> None:
    last = np.uint64(len(slots) - 1)
    for number in range(len(hashes)):
        value = hashes[number]
        slot = (value ^ value >> np.uint64(32)) & last
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & last
        slots[slot] = number
