"""Fast numerics, each with a plain version beside it that tests hold it to."""

from fourfold.kernels.contexts import Draws as ContextDraws
from fourfold.kernels.contexts import Paths as ContextPaths
from fourfold.kernels.contexts import Shape as ContextShape
from fourfold.kernels.contexts import Work as ContextWork
from fourfold.kernels.contexts import new_work as new_context_work
from fourfold.kernels.contexts import train_contexts, train_contexts_plain
from fourfold.kernels.grouping import Groups, Indices, Integers, group_keys, group_keys_plain
from fourfold.kernels.jit import compiled, compiled_for_threads
from fourfold.kernels.refining import Refined, group_tokens, refine, refine_plain
from fourfold.kernels.terms import TermCounts, TextCodes, count_terms, count_terms_plain, hash_term
from fourfold.kernels.trie import (
    Codes,
    Floats,
    Trie,
    dense_rows,
    dense_rows_plain,
    unpacked,
    walk,
    walk_plain,
    walk_scored,
    walk_scored_plain,
)
from fourfold.kernels.words import WordIndex, read_words_plain

__all__ = [
    "Codes",
    "ContextDraws",
    "ContextPaths",
    "ContextShape",
    "ContextWork",
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
    "compiled_for_threads",
    "count_terms",
    "count_terms_plain",
    "dense_rows",
    "dense_rows_plain",
    "group_keys",
    "group_keys_plain",
    "group_tokens",
    "hash_term",
    "new_context_work",
    "read_words_plain",
    "refine",
    "refine_plain",
    "train_contexts",
    "train_contexts_plain",
    "unpacked",
    "walk",
    "walk_plain",
    "walk_scored",
    "walk_scored_plain",
]
