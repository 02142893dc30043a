"""Turn raw UTF-8 lines into word ids: one pass over the bytes, and no Python object a word.

The words that are known stand end to end in a pool of bytes, found by open addressing over their FNV-1a hash
(Fowler, Noll, Vo 1991); equal hashes are told apart by the bytes themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
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
_HALF, _LOWER = np.uint64(32), np.uint64(0xFFFFFFFF)
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_SEPARATOR = np.array(list("▁".encode()), np.uint8)
"""Stands between words whose characters are read one by one."""


WORDS_AT_ONCE = 1 << 16
"""Of a given list, that are taken up together."""


class WordTable(NamedTuple):
    """What words are found in; the arrays may be mapped from files."""

    slots: NDArray[np.uint64]
    """A word's hash in the upper half and its id in the lower, or `EMPTY`; a power of two of them, at least twice as
    many as words."""
    starts: Integers
    """For each word, where its bytes begin; and where the next ones will."""
    pool: Bytes
    """All words, a newline after each."""


class WordIndex:
    """Words and their ids, in the order in which they were met.

    Words are parted by ASCII white space, or with `characters` each character counts as one and any white space
    between two words as one `▁`.
    """

    def __init__(self, words: Iterable[bytes] = (), *, characters: bool = False) -> None:
        self.known = 0
        self.characters = characters
        self.table = WordTable(np.full(2, EMPTY, np.uint64), np.zeros(1, np.int64), np.empty(0, np.uint8))
        for some in _batched(words):
            self._read(b" ".join(some), False, grow=True)

    @classmethod
    def of_table(cls, table: WordTable, *, characters: bool = False) -> Self:
        """An index as it was, without a look at its words; ValueError where the arrays could lead a search astray."""
        slots, starts, pool = table
        known = len(starts) - 1
        if known < 0 or len(slots) & (len(slots) - 1) or len(slots) < 2 * max(known, 1):
            raise ValueError("the sizes of the arrays do not fit")
        if starts[0] != 0 or starts[-1] != len(pool) or not _is_sound(table):
            raise ValueError("the arrays contradict each other")
        index = cls(characters=characters)
        index.known, index.table = known, table
        return index

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
        return self._read(lines, self.characters, grow=True)

    def find(self, lines: bytes) -> tuple[Indices, Integers]:
        """The same with -1 for words that are not known."""
        return self._read(lines, self.characters, grow=False)

    def number(self, word: bytes) -> int:
        """The id of one word, whole; -1 where it is not known."""
        value = _OFFSET
        for byte in word:
            value = (value ^ byte) * _PRIME % (1 << 64)
        value = (value ^ value >> 32) & int(_LOWER)
        slots = self.table.slots
        slot = value & len(slots) - 1
        while (entry := int(slots[slot])) != int(EMPTY):
            number = entry & int(_LOWER)
            if entry >> 32 == value and self.word(number) == word:
                return number
            slot = slot + 1 & len(slots) - 1
        return -1

    def word(self, number: int) -> bytes:
        """The word of that id."""
        start, end = self.table.starts[number : number + 2].tolist()
        return self.table.pool[start : end - 1].tobytes()

    def words(self) -> list[bytes]:
        """All known words, in the order of their ids."""
        return self.lines().split(b"\n")[:-1]

    def lines(self) -> bytes:
        """All of them, a newline after each."""
        return self.table.pool[: self.table.starts[self.known]].tobytes()

    def absorb(self, other: WordIndex) -> Indices:
        """Take up the words of another, in its order; the id here of each of its."""
        size = int(other.table.starts[other.known])
        self._make_room(size, other.known)
        ids = np.empty(other.known, np.int32)
        self.known = _absorb(other.table, self.table, self.known, ids)
        return ids

    def compact(self) -> WordTable:
        """The arrays without room to grow."""
        slots, starts, pool = self.table
        size = 1 << max(2 * self.known, 1).bit_length()
        if len(slots) > size:
            smaller = np.full(size, EMPTY, np.uint64)
            _fill(smaller, slots)
            slots = smaller
        return WordTable(slots, starts[: self.known + 1], pool[: starts[self.known]])

    def _read(
        self, lines: bytes, characters: bool, *, grow: bool, words: int | None = None
    ) -> tuple[Indices, Integers]:
        """`words`: as many as there can be, where that is known."""
        text = np.frombuffer(lines, np.uint8)
        count = int(np.count_nonzero(text == _NEWLINE)) + (not lines.endswith(b"\n") and bool(lines))
        most = len(text) if characters else (len(text) + 1) // 2
        if grow:
            self._make_room(2 * most, most if words is None else words)
        ids, ends = np.empty(most, np.int32), np.empty(count, np.int64)
        written, self.known = _read(text, self.table, self.known, characters, grow, ids, ends)
        return ids[:written].copy(), ends

    def _make_room(self, size: int, new: int) -> None:
        """For so many new words that take, with a newline each, so many bytes."""
        slots, starts, pool = self.table
        words = self.known + new + 1
        used = int(starts[self.known])
        if len(starts) < words + 1:
            starts = _longer(starts, 2 * words + 1)
        if len(pool) < used + size + len(_SEPARATOR) + 1:
            pool = _longer(pool, 2 * (used + size + len(_SEPARATOR) + 1))
        if len(slots) < 2 * words:
            wider = np.full(1 << (2 * words).bit_length(), EMPTY, np.uint64)
            _fill(wider, slots)
            slots = wider
        self.table = WordTable(slots, starts, pool)


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
    text: Bytes, table: WordTable, known: int, characters: bool, grow: bool, ids: Indices, ends: Integers
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
def _id(text: Bytes, start: int, end: int, table: WordTable, known: int, grow: bool) -> tuple[int, int]:
    """The id of the word text[start:end], a new one (or -1) if need be, and how many words are known then."""
    value = np.uint64(_OFFSET)
    for place in range(start, end):
        value = (value ^ np.uint64(text[place])) * np.uint64(_PRIME)
    value = (value ^ value >> _HALF) & _LOWER
    last = np.uint64(len(table.slots) - 1)
    slot = value & last
    while table.slots[slot] != EMPTY:
        if table.slots[slot] >> _HALF == value:
            number = int(np.int64(table.slots[slot] & _LOWER))
            if _is_word(text, start, end, table, number):
                return number, known
        slot = (slot + np.uint64(1)) & last
    if not grow:
        return -1, known
    table.slots[slot] = value << _HALF | np.uint64(known)
    begin = table.starts[known]
    after = begin + end - start
    table.pool[begin:after] = text[start:end]
    table.pool[after] = _NEWLINE
    table.starts[known + 1] = after + 1
    return known, known + 1


@compiled
def _is_word(text: Bytes, start: int, end: int, table: WordTable, number: int) -> bool:
    begin = table.starts[number]
    if table.starts[number + 1] - begin != end - start + 1:
        return False
    place = 0
    while place < end - start and table.pool[begin + place] == text[start + place]:
        place += 1
    return place == end - start


@compiled
def _fill(wider: NDArray[np.uint64], slots: NDArray[np.uint64]) -> None:
    last = np.uint64(len(wider) - 1)
    for entry in slots:
        if entry != EMPTY:
            slot = entry >> _HALF & last
            while wider[slot] != EMPTY:
                slot = (slot + np.uint64(1)) & last
            wider[slot] = entry


@compiled
def _absorb(other: WordTable, table: WordTable, known: int, ids: Indices) -> int:
    for word in range(len(ids)):
        ids[word], known = _id(other.pool, other.starts[word], other.starts[word + 1] - 1, table, known, True)
    return known


def _is_sound(table: WordTable) -> bool:
    """Whether every word has room in the pool, no slot names a word that is not there, and one slot is free."""
    numbers = table.slots[table.slots != EMPTY] & _LOWER
    inside = len(numbers) < len(table.slots) and int(numbers.max(initial=0)) < max(len(table.starts) - 1, 1)
    return inside and bool((table.starts[1:] > table.starts[:-1]).all())
