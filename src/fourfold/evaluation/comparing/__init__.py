"""Two results, item by item: ours, lm-eval's or plain lines, paired by content."""

from fourfold.evaluation.comparing.comparison import compare
from fourfold.evaluation.comparing.contamination import Overlap, overlaps
from fourfold.evaluation.comparing.pairing import Pairing, pair_items
from fourfold.evaluation.comparing.reading import read_results
from fourfold.evaluation.comparing.samples import Results, Sample
from fourfold.evaluation.comparing.sentences import amount, sentence_of

__all__ = [
    "Overlap",
    "Pairing",
    "Results",
    "Sample",
    "amount",
    "compare",
    "overlaps",
    "pair_items",
    "read_results",
    "sentence_of",
]
