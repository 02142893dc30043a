"""What a smoothing method says of one order: the share each n-gram keeps, and how the order below is asked.

A method is a function of the counts of one order, which gives a rule for some contexts at a time; `estimate.py` does
the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels import Indices, Integers
from fourfold.models.ngram.counts import NGramCounts

Doubles = NDArray[np.float64]
PART = 1 << 18
"""N-grams worked on at a time, give or take what follows one context."""


@dataclass(frozen=True)
class Part:
    """Some contexts of an order, one after the other, and all n-grams that go on from them."""

    contexts: slice
    rows: slice
    prefixes: Indices
    """The context of each n-gram, counted from the first of these."""
    counts: Indices
    continuations: Indices

    @property
    def size(self) -> int:
        """How many contexts."""
        return int(self.contexts.stop - self.contexts.start)

    def by_context(self, values: NDArray[np.generic]) -> Doubles:
        """The sum over what follows each context."""
        return np.bincount(self.prefixes, weights=values, minlength=self.size).astype(np.float64)


class Shares(NamedTuple):
    """The probability of one order before the order below is asked."""

    kept: Doubles
    """Of each n-gram."""
    left: Doubles | None
    """Of each context, what the probabilities of the order below are multiplied by; 1 where the context was never
    followed by anything. None where it is whatever makes each distribution sum to one."""
    interpolated: bool = True
    """Whether n-grams that keep a share get that of the order below on top: Chen & Goodman (1998), section 2.8."""


class Rule(NamedTuple):
    """A method that has seen the counts of an order."""

    share: Callable[[Part], Shares]
    discounts: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    """Of interpolation, where they were fitted."""


Smoothing = Callable[[NGramCounts, int], Rule]


def parts(counts: NGramCounts, order: int, size: int = PART) -> Iterator[Part]:
    """The n-grams of an order, about `size` at a time."""
    table = counts.orders[order - 1]
    firsts = table.prefixes[size::size]
    cuts = np.unique(np.concatenate([[0], firsts, [counts.contexts(order)]]).astype(np.int64))
    rows = np.searchsorted(table.prefixes, cuts.astype(np.int32))
    for (low, high), (start, end) in zip(pairwise(cuts.tolist()), pairwise(rows.tolist()), strict=True):
        prefixes = table.prefixes[start:end] - np.int32(low)
        counted, continuations = table.counts[start:end], table.continuations[start:end]
        yield Part(slice(low, high), slice(start, end), prefixes, counted, continuations)


def counts_of_counts(numbers: Indices, largest: int) -> Integers:
    """How many of the numbers are 0, 1, …, and `largest` or more."""
    found = np.zeros(largest + 1, np.int64)
    for start in range(0, len(numbers), PART):
        found += np.bincount(np.minimum(numbers[start : start + PART], largest), minlength=largest + 1)
    return found


def where_followed(left: Doubles, totals: Doubles) -> Doubles:
    """`left`, and 1 for contexts that nothing ever followed."""
    return np.where(totals > 0, left, 1.0)
