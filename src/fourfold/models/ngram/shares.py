"""What a smoothing method says of one order: the share each n-gram keeps, and how the order below is asked.

A method is a function of the counts of one order; `estimate.py` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.models.ngram.counts import NGramCounts

Doubles = NDArray[np.float64]


class Shares(NamedTuple):
    """The probability of one order before the order below is asked."""

    kept: Doubles
    """Of each n-gram."""
    left: Doubles | None
    """Of each context, what the probabilities of the order below are multiplied by; 1 where the context was never
    followed by anything. None where it is whatever makes each distribution sum to one."""
    discounts: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    """Of interpolation, where they were fitted."""
    interpolated: bool = True
    """Whether n-grams that keep a share get that of the order below on top: Chen & Goodman (1998), section 2.8."""


Smoothing = Callable[[NGramCounts, int], Shares]


def by_context(counts: NGramCounts, order: int, values: NDArray[np.generic]) -> Doubles:
    """The sum over what follows each context of `order`."""
    sums = np.bincount(counts.orders[order - 1].prefixes, weights=values, minlength=counts.contexts(order))
    return sums.astype(np.float64)


def where_followed(left: Doubles, totals: Doubles) -> Doubles:
    """`left`, and 1 for contexts that nothing ever followed."""
    return np.where(totals > 0, left, 1.0)
