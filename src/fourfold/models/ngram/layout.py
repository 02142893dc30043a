"""A back-off model as one table an order, and as the trie that is queried: the same numbers in two shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels import Floats, Indices, Trie

Flags = NDArray[np.bool_]


class Level(NamedTuple):
    """The n-grams of one order, sorted by (prefix, last token); prefixes and suffixes are rows of the level below."""

    words: Indices
    prefixes: Indices
    suffixes: Indices
    log_prob: Floats
    back_off: Floats | None
    """Of each as a context; None for the highest order."""

    def kept(self, keep: Flags, below: Indices | None) -> Level:
        """The rows to keep, `below` being the new rows of the level below (None where they are as they were)."""
        prefixes, suffixes = self.prefixes[keep], self.suffixes[keep]
        if below is not None:
            prefixes, suffixes = below[prefixes], below[suffixes]
        return Level(
            words=self.words[keep],
            prefixes=prefixes,
            suffixes=suffixes,
            log_prob=self.log_prob[keep],
            back_off=None if self.back_off is None else self.back_off[keep],
        )


def thin(levels: Sequence[Level], keep: Sequence[Flags]) -> list[Level]:
    """The levels without the n-grams that are not to be kept; what is kept has its prefix and suffix kept."""
    if all(flags.all() for flags in keep):
        return list(levels)
    thinned: list[Level] = []
    below = None
    for level, flags in zip(levels, keep, strict=True):
        thinned.append(level.kept(flags, below))
        below = (np.cumsum(flags, dtype=np.int64) - 1).astype(np.int32)
    return thinned


def lay_out(levels: Sequence[Level]) -> Trie:
    """The levels laid end to end behind the empty context, node 0."""
    sizes = [1, *(len(level.words) for level in levels)]
    bases = np.cumsum([0, *sizes])  # of order 0 (the empty context), 1, 2, …, and the end
    zero = np.zeros(1, np.int32)
    suffixes = [(level.suffixes + bases[order]).astype(np.int32) for order, level in enumerate(levels[1:], 1)]
    followers = [
        np.bincount(level.prefixes, minlength=sizes[order - 1] if order > 1 else 1)
        for order, level in enumerate(levels, 1)
    ]
    return Trie(
        word=np.concatenate([zero, *(level.words for level in levels)]),
        suffix=np.concatenate([zero, np.zeros(sizes[1], np.int32), *suffixes]),
        log_prob=np.concatenate([np.zeros(1, np.float32), *(level.log_prob for level in levels)]),
        first_child=np.concatenate([[1], 1 + np.cumsum(np.concatenate(followers))]).astype(np.int32),
        back_off=np.concatenate(
            [np.zeros(1, np.float32), *(level.back_off for level in levels if level.back_off is not None)]
        ),
    )


def levels_of(trie: Trie, sizes: Sequence[int]) -> list[Level]:
    """The tables of a trie that holds `sizes[n - 1]` n-grams of each order n."""
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
