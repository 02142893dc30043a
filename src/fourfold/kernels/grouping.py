"""Group equal integer keys: the counting step under n-grams and vocabularies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels.jit import compiled

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
    """Sort the positions by key (vectorised in numpy), then one compiled pass over the runs."""
    order = np.argsort(keys)
    inverse = np.empty(len(keys), np.int32)
    distinct = _number_groups(keys, order, inverse)
    unique, first, counts = np.empty(distinct, np.int64), np.empty(distinct, np.int64), np.zeros(distinct, np.int64)
    _fill_groups(keys, order, inverse, unique, first, counts)
    return Groups(unique, counts, first, inverse)


def group_keys_plain(keys: Integers) -> Groups:
    """The same by `numpy.unique`."""
    unique, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return Groups(unique, counts, first, inverse.astype(np.int32))


@compiled
def _number_groups(keys: Integers, order: Integers, inverse: Indices) -> int:
    group = -1
    previous = np.int64(0)
    for rank in range(len(order)):
        position = order[rank]
        key = keys[position]
        if rank == 0 or key != previous:
            group += 1
            previous = key
        inverse[position] = group
    return group + 1


@compiled
def _fill_groups(
    keys: Integers, order: Integers, inverse: Indices, unique: Integers, first: Integers, counts: Integers
) -> None:
    for rank in range(len(order)):
        position = order[rank]
        group = inverse[position]
        if counts[group] == 0:
            unique[group] = keys[position]
            first[group] = position
        elif position < first[group]:
            first[group] = position
        counts[group] += 1
