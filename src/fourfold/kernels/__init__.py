"""Fast numerics, each with a plain version beside it that tests hold it to."""

from fourfold.kernels.causal import attends_natively, causal_attention, causal_attention_backward
from fourfold.kernels.contexts import Draws as ContextDraws
from fourfold.kernels.contexts import Paths as ContextPaths
from fourfold.kernels.contexts import Shape as ContextShape
from fourfold.kernels.contexts import Work as ContextWork
from fourfold.kernels.contexts import new_work as new_context_work
from fourfold.kernels.contexts import train_contexts, train_contexts_plain
from fourfold.kernels.few import few_natively, multiply_few
from fourfold.kernels.grouping import Groups, Indices, Integers, group_keys, group_keys_plain
from fourfold.kernels.jit import compiled, compiled_for_threads, processors
from fourfold.kernels.low_bit import (
    LowBit,
    dense,
    described,
    pack,
    product,
    product_plain,
    rows_of,
    rows_of_plain,
)
from fourfold.kernels.moments import BLOCK as MOMENT_BLOCK
from fourfold.kernels.moments import ByteCode, ByteMoment, ByteRates, step_in_bytes, steps_natively
from fourfold.kernels.native import TOLD as INSTRUCTIONS
from fourfold.kernels.native import Kernels, LayerCall, ModelCall, StepCall, WeightCall, kernels
from fourfold.kernels.native import threads as kernel_threads
from fourfold.kernels.refining import Depths, Refined, add_occurrences, refine, refine_plain
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
from fourfold.kernels.words import WordIndex, WordTable, read_words_plain

__all__ = [
    "INSTRUCTIONS",
    "MOMENT_BLOCK",
    "ByteCode",
    "ByteMoment",
    "ByteRates",
    "Codes",
    "ContextDraws",
    "ContextPaths",
    "ContextShape",
    "ContextWork",
    "Depths",
    "Floats",
    "Groups",
    "Indices",
    "Integers",
    "Kernels",
    "LayerCall",
    "LowBit",
    "ModelCall",
    "Refined",
    "StepCall",
    "TermCounts",
    "TextCodes",
    "Trie",
    "WeightCall",
    "WordIndex",
    "WordTable",
    "add_occurrences",
    "attends_natively",
    "causal_attention",
    "causal_attention_backward",
    "compiled",
    "compiled_for_threads",
    "count_terms",
    "count_terms_plain",
    "dense",
    "dense_rows",
    "dense_rows_plain",
    "described",
    "few_natively",
    "group_keys",
    "group_keys_plain",
    "hash_term",
    "kernel_threads",
    "kernels",
    "multiply_few",
    "new_context_work",
    "pack",
    "processors",
    "product",
    "product_plain",
    "read_words_plain",
    "refine",
    "refine_plain",
    "rows_of",
    "rows_of_plain",
    "step_in_bytes",
    "steps_natively",
    "train_contexts",
    "train_contexts_plain",
    "unpacked",
    "walk",
    "walk_plain",
    "walk_scored",
    "walk_scored_plain",
]
