"""Numbers about text and numbers about numbers: matching, overlap, intervals, paired tests, power."""

from fourfold.measures.attempts import pass_at_k
from fourfold.measures.blocks import BITS, block_borders, block_nats, ratio_difference, ratio_interval
from fourfold.measures.comparisons import PairedResult, Verdict, holm, mcnemar, paired_difference, verdict_of
from fourfold.measures.extraction import extract_match, extract_overlap
from fourfold.measures.intervals import (
    Interval,
    bootstrap_interval,
    is_binary,
    mean_interval,
    mean_of_means_interval,
    wilson_interval,
)
from fourfold.measures.power import detectable_effect, detectable_effect_paired
from fourfold.measures.seeds import detectable_shift, student_interval, student_quantile
from fourfold.measures.stratified import stratified_interval
from fourfold.measures.text import (
    contains_keyword,
    exact_match,
    last_number,
    ngram_overlap,
    normalise_answer,
    numbers_in,
    numeric_equal,
    words_of,
)

__all__ = [
    "BITS",
    "Interval",
    "PairedResult",
    "Verdict",
    "block_borders",
    "block_nats",
    "bootstrap_interval",
    "contains_keyword",
    "detectable_effect",
    "detectable_effect_paired",
    "detectable_shift",
    "exact_match",
    "extract_match",
    "extract_overlap",
    "holm",
    "is_binary",
    "last_number",
    "mcnemar",
    "mean_interval",
    "mean_of_means_interval",
    "ngram_overlap",
    "normalise_answer",
    "numbers_in",
    "numeric_equal",
    "paired_difference",
    "pass_at_k",
    "ratio_difference",
    "ratio_interval",
    "stratified_interval",
    "student_interval",
    "student_quantile",
    "verdict_of",
    "wilson_interval",
    "words_of",
]
