"""How many of the possible n-grams a text holds, and how many of those another text needs.

Letters: n the order, V the vocabulary size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels import group_keys


class Coverage(NamedTuple):
    """Of one order."""

    seen: float
    """Share of the n-grams of the second text, counted as often as they occur, that occur in the first."""
    distinct: int
    """Different n-grams of the first text."""


def coverage_of(first: NDArray[np.int64], second: NDArray[np.int64], order: int, vocabulary_size: int) -> Coverage:
    """Name every n-gram of both texts by a number, order by order, and look which numbers both have.

    The number of an n-gram is the rank of (number of the n-gram without its last token, last token), so that any order
    fits in 64 bits.
    """
    tokens = np.concatenate([first, second])
    numbers = tokens.astype(np.int64)
    for length in range(2, order + 1):
        keys = numbers[:-1] * vocabulary_size + tokens[length - 1 :]
        numbers = group_keys(keys).inverse.astype(np.int64)
    own = numbers[: len(first) - order + 1]
    wanted = numbers[len(first) :]  # those across the border are neither text's
    distinct = np.unique(own)
    return Coverage(seen=float(np.isin(wanted, distinct).mean()), distinct=len(distinct))


def filled(distinct: int, order: int, vocabulary_size: int) -> float:
    """log10 of the share of the V^n possible n-grams."""
    return math.log10(distinct) - order * math.log10(vocabulary_size)
