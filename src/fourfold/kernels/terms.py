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


Points = NDArray[np.uint32]
Hashes = NDArray[np.uint64]
Counts = NDArray[np.uint16]


class TermCounts(NamedTuple):
    """The distinct terms of each text, in rising order of hash."""

    terms: Hashes
    counts: Counts
    ends: NDArray[np.int64]
    """For each text, where its terms end."""
    lengths: NDArray[np.int32]
    """For each text, all its terms, repeated ones too."""


def count_terms(points: Points, table: Points) -> TermCounts:
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


@compiled
def _count(
    points: Points, table: Points, hashes: Hashes, counts: Counts, ends: NDArray[np.int64], lengths: NDArray[np.int32]
) -> int:
    """Write what `TermCounts` holds into the four arrays; returns how much of the first two is in use."""
    prime = np.uint64(_PRIME)
    offset = np.uint64(_OFFSET)
    word = last = offset
    in_word = False
    run = kept = start = text = 0
    for point in points:
        folded = table[point] if point < table.size else np.uint32(0)
        kind = folded >> np.uint32(_CLASS) & np.uint32(7)
        code = np.uint64(folded & np.uint32(0xFFFFFF))
        if kind == _IGNORED:
            continue
        if kind != _LETTER and in_word:
            hashes[start] = word
            start += 1
            in_word = False
        if kind != _PAIRED and run:
            if run == 1:  # a character alone is a term too
                hashes[start] = (offset ^ last) * prime
                start += 1
            run = 0
        if kind == _LETTER:
            word = ((word if in_word else offset) ^ code) * prime
            in_word = True
        elif kind == _PAIRED:
            if run:
                hashes[start] = (((offset ^ last) * prime) ^ code) * prime
                start += 1
            last = code
            run += 1
        elif kind == _END:
            lengths[text] = start - kept
            kept = start = _count_equal(np.sort(hashes[kept:start]), hashes, counts, kept)
            ends[text] = kept
            text += 1
    return kept


@compiled
def _count_equal(found: Hashes, hashes: Hashes, counts: Counts, at: int) -> int:
    """Write the distinct ones of a sorted run, and how often each occurs, from `at` on; returns where they end."""
    for place in range(found.size):
        if place and found[place] == found[place - 1]:
            counts[at - 1] += np.uint16(counts[at - 1] < 65535)
        else:
            hashes[at] = found[place]
            counts[at] = 1
            at += 1
    return at
