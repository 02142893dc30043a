"""Fast numerics, each with a plain version beside it that tests hold it to."""

from fourfold.kernels.grouping import Groups, Indices, Integers, group_keys, group_keys_plain
from fourfold.kernels.jit import compiled
from fourfold.kernels.refining import Refined, group_tokens, refine, refine_plain
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
from fourfold.kernels.words import WordIndex, read_words_plain

__all__ = [
    "Floats",
    "Groups",
    "Indices",
    "Integers",
    "Refined",
    "TermCounts",
    "TextCodes",
    "Trie",
    "WordIndex",
    "compiled",
    "count_terms",
    "count_terms_plain",
    "dense_rows",
    "dense_rows_plain",
    "group_keys",
    "group_keys_plain",
    "group_tokens",
    "hash_term",
    "read_words_plain",
    "refine",
    "refine_plain",
    "walk",
    "walk_plain",
    "walk_scored",
    "walk_scored_plain",
]
