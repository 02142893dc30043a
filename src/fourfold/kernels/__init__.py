"""Fast numerics, each with a plain version beside it that tests hold it to."""

from fourfold.kernels.grouping import Groups, Indices, Integers, group_keys, group_keys_plain
from fourfold.kernels.jit import compiled
from fourfold.kernels.terms import TermCounts, TextCodes, count_terms, count_terms_plain, hash_term
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
    "TermCounts",
    "TextCodes",
    "Trie",
    "compiled",
    "count_terms",
    "count_terms_plain",
    "dense_rows",
    "dense_rows_plain",
    "group_keys",
    "group_keys_plain",
    "hash_term",
    "walk",
    "walk_plain",
    "walk_scored",
    "walk_scored_plain",
]
