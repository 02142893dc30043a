"""Group equal integer keys: the counting step under n-grams and vocabularies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Indices = NDArray[np.int32]


class Groups(NamedTuple):
    """The distinct keys in rising order, and where they came from."""

    keys: Integers
    counts: Integers
    first: Integers
    """Position of the first occurrence of each distinct key."""
    inverse: Indices
    """For each input position, the index of its key among the distinct ones."""


def group_keys(keys: Integers) -> Groups:
    """Sort (key, position) pairs, packed in one integer where they fit, and read off the runs.

    Keys are not negative. Sorting values in place is several times faster than `argsort`, which moves through
    memory at random.
    """
    ordered, order = _sort(keys)
    new = np.ones(len(keys), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    inverse = np.empty(len(keys), np.int32)
    inverse[order] = np.cumsum(new, dtype=np.int32) - 1
    return Groups(ordered[starts], np.diff(starts, append=len(keys)), order[starts], inverse)


def group_keys_plain(keys: Integers) -> Groups:
    """The same by `numpy.unique`."""
    unique, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return Groups(unique, counts, first, inverse.astype(np.int32))


def _sort(keys: Integers) -> tuple[Integers, Integers]:
    """The keys in rising order and the positions they had; equal keys keep their order."""
    bits = len(keys).bit_length()
    if int(keys.max(initial=0)) >= 1 << (63 - bits):
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    packed = keys << bits
    packed |= np.arange(len(keys))
    packed.sort()
    return packed >> bits, packed & ((1 << bits) - 1)
