"""A back-off model as one table an order, and as the trie that is queried: the same numbers in two shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels import Floats, Indices, Trie, add_occurrences, unpacked
from fourfold.models.ngram.counts import NewArray

Flags = NDArray[np.bool_]
PART = 1 << 20
"""Rows moved at a time."""


class Level(NamedTuple):
    """The n-grams of one order, sorted by (prefix, last token); prefixes and suffixes are rows of the level below."""

    words: Indices
    prefixes: Indices
    suffixes: Indices
    log_prob: Floats
    back_off: Floats | None
    """Of each as a context; None for the highest order."""

    def kept(self, keep: Flags, below: Indices | None, new: NewArray = np.empty) -> Level:
        """The rows to keep, `below` being the new rows of the level below (None where they are as they were)."""
        kept = Level._make(None if column is None else _chosen(column, keep, new) for column in self)
        if below is not None:
            for rows in (kept.prefixes, kept.suffixes):
                for start in range(0, len(rows), PART):
                    rows[start : start + PART] = below[rows[start : start + PART]]
        return kept


def _chosen(column: NDArray[Any], keep: Flags, new: NewArray) -> NDArray[Any]:
    chosen, filled = new(int(np.count_nonzero(keep)), column.dtype), 0
    for start in range(0, len(column), PART):
        some = column[start : start + PART][keep[start : start + PART]]
        chosen[filled : filled + len(some)] = some
        filled += len(some)
    return chosen


def thin(levels: Sequence[Level], keep: Sequence[Flags], new: NewArray = np.empty) -> list[Level]:
    """The levels without the n-grams that are not to be kept; what is kept has its prefix and suffix kept."""
    if all(flags.all() for flags in keep):
        return list(levels)
    thinned: list[Level] = []
    below = None
    for level, flags in zip(levels, keep, strict=True):
        thinned.append(level.kept(flags, below, new))
        below = np.cumsum(flags, dtype=np.int32, out=new(len(flags), np.int32))
        below -= 1
    return thinned


def lay_out(levels: Iterable[Level], sizes: Sequence[int], new: NewArray = np.empty) -> Trie:
    """Levels of so many n-grams laid end to end behind the empty context, node 0.

    A level is let go when it has been copied: who hands over an iterator that holds none needs room for each once.
    """
    bases = np.cumsum([0, 1, *sizes]).tolist()  # of order 0 (the empty context), 1, 2, …, and the end
    nodes, contexts = bases[-1], bases[-2]
    trie = Trie(
        word=new(nodes, np.int32),
        suffix=new(nodes, np.int32),
        log_prob=new(nodes, np.float32),
        first_child=new(contexts + 1, np.int32),
        back_off=new(contexts, np.float32),
    )
    for column in (trie.word, trie.suffix, trie.log_prob, trie.back_off):
        column[0] = 0
    trie.first_child[:] = 0
    for order, level in enumerate(levels, 1):
        rows = slice(bases[order], bases[order + 1])
        trie.word[rows], trie.log_prob[rows] = level.words, level.log_prob
        if order == 1:
            trie.suffix[rows] = 0
        else:
            np.add(level.suffixes, np.int32(bases[order - 1]), out=trie.suffix[rows])
        if level.back_off is not None:
            trie.back_off[rows] = level.back_off
        add_occurrences(level.prefixes, trie.first_child[bases[order - 1] + 1 :])
    trie.first_child[0] = 1
    np.cumsum(trie.first_child, dtype=np.int32, out=trie.first_child)
    return trie


def levels_of(trie: Trie, sizes: Sequence[int]) -> list[Level]:
    """The tables of a trie that holds `sizes[n - 1]` n-grams of each order n."""
    trie = unpacked(trie)
    bases = np.cumsum([0, 1, *sizes])
    parents = np.repeat(np.arange(len(trie.back_off), dtype=np.int32), np.diff(trie.first_child))
    levels = []
    for order in range(1, len(sizes) + 1):
        rows = slice(int(bases[order]), int(bases[order + 1]))
        levels.append(
            Level(
                words=trie.word[rows],
                prefixes=parents[rows.start - 1 : rows.stop - 1] - np.int32(bases[order - 1]),
                suffixes=np.maximum(trie.suffix[rows] - np.int32(bases[order - 1]), 0),
                log_prob=trie.log_prob[rows],
                back_off=trie.back_off[rows] if order < len(sizes) else None,
            )
        )
    return levels
