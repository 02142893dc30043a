"""Fast numerics, each with a plain version beside it that tests hold it to."""

from fourfold.kernels.grouping import Groups, Indices, Integers, group_keys, group_keys_plain
from fourfold.kernels.jit import compiled
from fourfold.kernels.trie import (
    Floats,
    Trie,
    dense_rows,
    dense_rows_plain,
    walk,
    walk_plain,
    walk_scored,
    walk_scored_plain,
)

__all__ = [
    "Floats",
    "Groups",
    "Indices",
    "Integers",
    "Trie",
    "compiled",
    "dense_rows",
    "dense_rows_plain",
    "group_keys",
    "group_keys_plain",
    "walk",
    "walk_plain",
    "walk_scored",
    "walk_scored_plain",
]
