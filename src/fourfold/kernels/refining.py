"""Group the positions of a text by the n-gram that ends at each, one token longer at a time.

An n-gram one token longer is a pair: the group of the position before, and the token. Pairs are packed with their
positions into integers of 63 bits and sorted. Where all do not fit, or to keep a sort within the processor's caches,
they are first dealt out to buckets, ranges of groups that hold about as many positions each; buckets are independent,
so threads share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels.grouping import Indices, Integers
from fourfold.kernels.jit import compiled, processors

Depths = NDArray[np.uint8] | Indices
Part = TypeVar("Part")
BITS = 63
BINS = 16
"""Bits of a group that positions are tallied by before buckets are cut."""
BUCKET = 1 << 16
"""Positions of a bucket: half a megabyte."""


class Refined(NamedTuple):
    """The distinct n-grams one token longer, sorted by (prefix, last token)."""

    words: Indices
    prefixes: Indices
    """Group of the n-gram without its last token."""
    suffixes: Indices
    """Group of the n-gram without its first token."""
    counts: Indices


class _Text(NamedTuple):
    """What the kernels read."""

    tokens: Indices
    depth: Depths
    nodes: Indices
    least: int
    """Tokens of the same document that must stand before a position."""


class _Buckets(NamedTuple):
    bin_shift: int
    """A group without so many of its lower bits is its bin."""
    bucket_of: Integers
    """Of each bin."""
    first: Integers
    """Lowest group of each bucket, which its keys leave out."""
    starts: Integers
    """Of each bucket among the keys, and the end of the last."""
    token_bits: int
    position_bits: int


def refine(tokens: Indices, depth: Depths, nodes: Indices, length: int, groups: int, vocabulary_size: int) -> Refined:
    """N-grams of `length` tokens; `nodes`, the group each position is in among `groups`, is brought up to date.

    `depth` counts the tokens of the same document before each; an n-gram lies within one document. Positions that no
    n-gram of that length ends at keep their old entry in `nodes`.
    """
    text = _Text(tokens, depth, nodes, length - 1)
    stretches = _cut(len(tokens), processors())
    with ThreadPoolExecutor(processors()) as pool:
        buckets, cursors = _bucket(text, stretches, groups, vocabulary_size, pool)
        keys = np.empty(int(buckets.starts[-1]), np.int64)
        _all(pool, lambda part: _deal(text, *stretches[part], buckets, cursors[part], keys), range(len(stretches)))

        def sort(bucket: tuple[int, int]) -> int:
            keys[slice(*bucket)].sort()
            return _distinct(keys, *bucket, buckets.position_bits)

        bounds = list(pairwise(buckets.starts.tolist()))
        rows = np.cumsum([0, *_all(pool, sort, bounds)])
        found = Refined(*(np.empty(int(rows[-1]), np.int32) for _ in Refined._fields))
        places = zip(bounds, buckets.first.tolist(), rows.tolist(), strict=False)
        _all(pool, lambda place: _name(keys, *place[0], *place[1:], buckets, nodes, found), places)
    return found


def refine_plain(
    tokens: Indices, depth: Depths, nodes: Indices, length: int, groups: int, vocabulary_size: int
) -> Refined:
    """The same by `numpy.unique` of (group, token) pairs."""
    ends = np.flatnonzero(depth >= length - 1)
    pairs = np.stack([nodes[ends - 1], tokens[ends]], axis=1)
    found, first, group, counts = np.unique(pairs, axis=0, return_index=True, return_inverse=True, return_counts=True)
    suffixes = nodes[ends[first]]
    nodes[ends] = group.reshape(-1)
    return Refined(*(column.astype(np.int32) for column in (found[:, 1], found[:, 0], suffixes, counts)))


@compiled
def add_occurrences(numbers: Indices, tally: Indices) -> None:
    """Add to each entry of `tally` how often its place is among the numbers."""
    for number in numbers:
        tally[number] += 1


def _all(pool: ThreadPoolExecutor, work: Callable[[Part], Any], parts: Iterable[Part]) -> list[Any]:
    return list(pool.map(work, parts))


def _cut(size: int, parts: int) -> list[tuple[int, int]]:
    return list(pairwise(np.linspace(0, size, parts + 1).astype(int).tolist()))


def _bucket(
    text: _Text, stretches: list[tuple[int, int]], groups: int, vocabulary_size: int, pool: ThreadPoolExecutor
) -> tuple[_Buckets, list[Integers]]:
    """Buckets of about equal size, and where the keys of each stretch go in each."""
    token_bits, position_bits = (vocabulary_size - 1).bit_length(), len(text.tokens).bit_length()
    most = BITS - token_bits - position_bits
    bin_shift = min(max(groups.bit_length() - BINS, 0), most)
    bins = ((groups - 1) >> bin_shift) + 1
    tallies = np.stack(_all(pool, lambda stretch: _tally(text, *stretch, bin_shift, bins), stretches))
    bucket_of, firsts = _cut_bins(tallies.sum(axis=0), 1 << (most - bin_shift))
    sums = np.stack([np.add.reduceat(tally, firsts) for tally in tallies])  # (stretches, buckets)
    before = np.cumsum(sums.T.reshape(-1)).reshape(sums.T.shape) - sums.T
    starts = np.append(before[:, 0], sums.sum())
    buckets = _Buckets(bin_shift, bucket_of, firsts << bin_shift, starts, token_bits, position_bits)
    return buckets, [np.ascontiguousarray(column) for column in before.T]


@compiled
def _cut_bins(tally: Integers, widest: int) -> tuple[Integers, Integers]:
    """The bucket of each bin, and the first bin of each bucket, of which none is wider."""
    bucket_of, firsts = np.empty(len(tally), np.int64), np.empty(len(tally), np.int64)
    buckets, held = 0, 0
    for number in range(len(tally)):
        if buckets == 0 or held + tally[number] > BUCKET or number - firsts[buckets - 1] >= widest:
            firsts[buckets] = number
            buckets += 1
            held = 0
        held += tally[number]
        bucket_of[number] = buckets - 1
    return bucket_of, firsts[:buckets].copy()


@compiled
def _tally(text: _Text, start: int, end: int, bin_shift: int, bins: int) -> Integers:
    found = np.zeros(bins, np.int64)
    for position in range(max(start, 1), end):
        if text.depth[position] >= text.least:
            found[text.nodes[position - 1] >> bin_shift] += 1
    return found


@compiled
def _deal(text: _Text, start: int, end: int, buckets: _Buckets, cursors: Integers, keys: Integers) -> None:
    """The keys of a stretch, each to its bucket."""
    for position in range(max(start, 1), end):
        if text.depth[position] >= text.least:
            node = np.int64(text.nodes[position - 1])
            bucket = buckets.bucket_of[node >> buckets.bin_shift]
            pair = (node - buckets.first[bucket]) << buckets.token_bits | np.int64(text.tokens[position])
            keys[cursors[bucket]] = pair << buckets.position_bits | position
            cursors[bucket] += 1


@compiled
def _distinct(keys: Integers, start: int, end: int, position_bits: int) -> int:
    found = 0
    for place in range(start, end):
        found += place == start or keys[place] >> position_bits != keys[place - 1] >> position_bits
    return found


# budget: the arrays a kernel reads and fills, each a parameter
@compiled
def _name(
    keys: Integers, start: int, end: int, first: int, row: int, buckets: _Buckets, nodes: Indices, found: Refined
) -> None:
    """Fill the rows of a bucket from `row` on, and give its positions their new group."""
    before = np.int64(-1)
    row -= 1
    for place in range(start, end):
        pair = keys[place] >> buckets.position_bits
        position = keys[place] & ((1 << buckets.position_bits) - 1)
        if pair != before:
            row += 1
            found.words[row] = pair & ((1 << buckets.token_bits) - 1)
            found.prefixes[row] = (pair >> buckets.token_bits) + first
            found.suffixes[row] = nodes[position]
            found.counts[row] = 0
            before = pair
        found.counts[row] += 1
        nodes[position] = row
