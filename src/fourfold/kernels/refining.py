"""Sort the positions of a text by the n-gram that ends at each, one token longer at a time.

Positions in the order of their n-grams lie in groups, one for each distinct n-gram. Those of an n-gram one token
longer are the positions after a group's, sorted by the token there: groups are refined, never sorted against each
other. So no key is built that could be too long for an integer, and most groups are a handful of numbers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels.grouping import Indices, Integers
from fourfold.kernels.jit import compiled, processors

FEW = 24
"""Numbers that are sorted by insertion."""


class Refined(NamedTuple):
    """The distinct n-grams one token longer, sorted by (prefix, last token), and where each occurs."""

    positions: Indices
    """Where each n-gram ends, in the order of the n-grams; rising within one."""
    starts: Integers
    """For each n-gram, where its positions begin, and the end of the last."""
    words: Indices
    prefixes: Indices
    """Group of the n-gram without its last token."""
    suffixes: Indices
    """Group of the n-gram without its first token."""


def group_tokens(tokens: Indices, vocabulary_size: int) -> tuple[Indices, Integers]:
    """The positions of each token, one token after the other, and where those of each begin: n-grams of length 1."""
    starts = np.zeros(vocabulary_size + 1, np.int64)
    np.cumsum(np.bincount(tokens, minlength=vocabulary_size), out=starts[1:])
    return _scatter(tokens, starts[:-1].copy()), starts


def refine(tokens: Indices, depth: Indices, nodes: Indices, positions: Indices, starts: Integers) -> Refined:
    """One token longer; `nodes`, the group each position is in, is brought up to date in place.

    `depth` counts the tokens of the same document before each; an n-gram lies within one document.
    Positions that no longer n-gram ends at keep their old entry in `nodes`.
    """
    groups = len(starts) - 1
    cuts = np.searchsorted(starts, np.linspace(0, len(positions), processors() + 1)[1:-1]).tolist()
    ranges = [(low, high) for low, high in pairwise([0, *cuts, groups]) if low < high]

    def one(range: tuple[int, int]) -> Refined:
        return _refine_range(tokens, depth, nodes, positions, starts, range)

    with ThreadPoolExecutor(len(ranges) or 1) as pool:
        parts = list(pool.map(one, ranges))
    found = positions_before = 0
    ends = [np.zeros(1, np.int64)]
    for part in parts:
        if found:
            nodes[part.positions] += np.int32(found)
        ends.append(part.starts[1:] + positions_before)
        found, positions_before = found + len(part.words), positions_before + len(part.positions)
    joined = (np.concatenate(arrays) for arrays in zip(*((p.positions, *p[2:]) for p in parts), strict=True))
    longer, words, prefixes, suffixes = joined if parts else (np.empty(0, np.int32) for _ in range(4))
    return Refined(longer, np.concatenate(ends), words, prefixes, suffixes)


def _refine_range(
    tokens: Indices, depth: Indices, nodes: Indices, positions: Indices, starts: Integers, prefixes: tuple[int, int]
) -> Refined:
    """What `refine` finds after the groups of one range, counted from there; a thread can do it alone."""
    low, high = prefixes
    size = int(starts[high] - starts[low])
    words, before, suffixes, longer = (np.empty(size, np.int32) for _ in range(4))
    ends = np.empty(size + 1, np.int64)
    room = np.empty(int(np.diff(starts[low : high + 1]).max(initial=0)), np.int64)
    found = _refine(tokens, depth, nodes, positions, starts, low, high, room, longer, ends, words, before, suffixes)
    return Refined(longer[: ends[found]], ends[: found + 1], words[:found], before[:found], suffixes[:found])


def refine_plain(tokens: Indices, depth: Indices, nodes: Indices, positions: Indices, starts: Integers) -> Refined:
    """The same by `numpy.unique` of (group, token) pairs."""
    groups = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    after = positions.astype(np.int64) + 1
    inside = after < len(tokens)
    inside[inside] = depth[after[inside]] > 0
    pairs = np.stack([groups[inside], tokens[after[inside]]], axis=1)
    found, inverse = np.unique(pairs, axis=0, return_inverse=True)
    order = np.lexsort((after[inside], inverse.reshape(-1)))
    longer, group = after[inside][order].astype(np.int32), inverse.reshape(-1)[order].astype(np.int32)
    bounds = np.searchsorted(group, np.arange(len(found) + 1))
    suffixes = nodes[longer[bounds[:-1]]].copy()
    nodes[longer] = group
    words, prefixes = found[:, 1].astype(np.int32), found[:, 0].astype(np.int32)
    return Refined(longer, bounds, words, prefixes, suffixes)


@compiled
def _scatter(tokens: Indices, cursors: Integers) -> Indices:
    positions = np.empty(len(tokens), np.int32)
    for position in range(len(tokens)):
        token = tokens[position]
        positions[cursors[token]] = position
        cursors[token] += 1
    return positions


# budget: the arrays a kernel reads and fills, each a parameter
@compiled
def _refine(  # noqa: PLR0913
    tokens: Indices,
    depth: Indices,
    nodes: Indices,
    positions: Indices,
    starts: Integers,
    low: int,
    high: int,
    room: Integers,
    longer: Indices,
    ends: Integers,
    words: Indices,
    prefixes: Indices,
    suffixes: Indices,
) -> int:
    """Fill the five arrays from `longer` on; returns how many groups there are."""
    groups, end = 0, 0
    ends[0] = 0
    for prefix in range(low, high):
        size = 0
        for place in range(starts[prefix], starts[prefix + 1]):
            after = np.int64(positions[place]) + 1
            if after < len(tokens) and depth[after] > 0:
                room[size] = np.int64(tokens[after]) << 32 | after
                size += 1
        _sort(room, size)
        for place in range(size):
            word, after = room[place] >> 32, room[place] & 0xFFFFFFFF
            if place == 0 or word != words[groups - 1]:
                words[groups], prefixes[groups], suffixes[groups] = word, prefix, nodes[after]
                groups += 1
            nodes[after] = groups - 1
            longer[end] = after
            end += 1
            ends[groups] = end
    return groups


@compiled
def _sort(numbers: NDArray[np.int64], size: int) -> None:
    """The first `size` numbers in rising order, in place."""
    if size > FEW:
        numbers[:size].sort()
        return
    for place in range(1, size):
        number, before = numbers[place], place - 1
        while before >= 0 and numbers[before] > number:
            numbers[before + 1] = numbers[before]
            before -= 1
        numbers[before + 1] = number
