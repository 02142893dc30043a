"""Search terms of many texts at once: words and character pairs, hashed and counted without a Python object each.

The texts arrive as code points, with a table of what each folds to and its class above that. The hash is
FNV-1a over whole code points (Fowler, Noll, Vo 1991), 64 bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels.jit import compiled

class TextCodes:
    """How a character's code is laid out."""

    CLASS = 24
    """The first bit of the class; below it stands what the character folds to."""
    SEPARATOR, LETTER, PAIRED, IGNORED, END = range(5)
    """Between terms; part of a word; part of pairs with its neighbours; as if it were not there; end of a text."""


_CLASS = TextCodes.CLASS
_LETTER, _PAIRED, _IGNORED, _END = TextCodes.LETTER, TextCodes.PAIRED, TextCodes.IGNORED, TextCodes.END
_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_A, _E, _I, _S, _U, _Y = 97, 101, 105, 115, 117, 121
_SHORTEST_PLURAL = 4


class TermCounts(NamedTuple):
    """The distinct terms of each text, in rising order of hash."""

    terms: NDArray[np.uint64]
    counts: NDArray[np.uint16]
    ends: NDArray[np.int64]
    """For each text, where its terms end."""
    lengths: NDArray[np.int32]
    """For each text, all its terms, repeated ones too."""


def count_terms(points: NDArray[np.uint32], table: NDArray[np.uint32]) -> TermCounts:
    """Count the terms of every text; a zero ends each. Code points beyond the table part terms."""
    texts = int(np.count_nonzero(points == 0))
    hashes = np.empty(len(points), np.uint64)
    counts = np.empty(len(points), np.uint16)
    ends = np.empty(texts, np.int64)
    lengths = np.empty(texts, np.int32)
    found = _count(points, table, hashes, counts, ends, lengths)
    return TermCounts(hashes[:found].copy(), counts[:found].copy(), ends, lengths)


def count_terms_plain(terms: list[list[str]]) -> TermCounts:
    """The same from each text's terms as strings."""
    counted = [np.unique(np.array([hash_term(term) for term in text], np.uint64), return_counts=True) for text in terms]
    return TermCounts(
        np.concatenate([found for found, _ in counted] or [np.empty(0, np.uint64)]),
        np.concatenate([np.minimum(count, 65535) for _, count in counted] or [np.empty(0)]).astype(np.uint16),
        np.cumsum([len(found) for found, _ in counted], dtype=np.int64),
        np.array([len(text) for text in terms], np.int32),
    )


def hash_term(term: str) -> int:
    value = _OFFSET
    for character in term:
        value = (value ^ ord(character)) * _PRIME % 2**64
    return value


def singular(word: str) -> str:
    """Harman's S stemmer (1991): `parties` and `party`, `pages` and `page` are one term; `gas`, `class` stay."""
    if len(word) < _SHORTEST_PLURAL or word[-1] != "s" or word[-2] in "us":
        return word
    return f"{word[:-3]}y" if word[-3:-1] == "ie" and word[-4] not in "ea" else word[:-1]


@compiled
def _count(points, table, hashes, counts, ends, lengths):  # type: ignore[no-untyped-def]  # compiled: types are numba's
    prime = np.uint64(_PRIME)
    offset = np.uint64(_OFFSET)
    whole = one_less = two_less = three_less = offset
    last = second = third = fourth = np.uint64(0)
    word = run = 0
    kept = start = text = 0
    for index in range(points.size):
        folded = table[points[index]] if points[index] < table.size else np.uint32(0)
        kind = folded >> np.uint32(_CLASS) & np.uint32(7)
        code = np.uint64(folded & np.uint32(0xFFFFFF))
        if kind == _IGNORED:
            continue
        if kind != _LETTER and word:
            hashes[start] = whole
            if word >= _SHORTEST_PLURAL and last == _S and second != _U and second != _S:
                hashes[start] = one_less
                if second == _E and third == _I and fourth != _E and fourth != _A:
                    hashes[start] = (three_less ^ np.uint64(_Y)) * prime
            start += 1
            word = 0
        if kind != _PAIRED and run:
            if run == 1:
                hashes[start] = (offset ^ last) * prime
                start += 1
            run = 0
        if kind == _LETTER:
            if word == 0:
                whole = one_less = two_less = offset
            three_less, two_less, one_less = two_less, one_less, whole
            fourth, third, second, last = third, second, last, code
            whole = (whole ^ code) * prime
            word += 1
        elif kind == _PAIRED:
            if run:
                hashes[start] = (((offset ^ last) * prime) ^ code) * prime
                start += 1
            last = code
            run += 1
        elif kind == _END:
            lengths[text] = start - kept
            found = np.sort(hashes[kept:start])
            start = kept
            for place in range(found.size):
                if place and found[place] == found[place - 1]:
                    counts[start - 1] += np.uint16(counts[start - 1] < 65535)
                else:
                    hashes[start] = found[place]
                    counts[start] = 1
                    start += 1
            ends[text] = kept = start
            text += 1
    return kept
