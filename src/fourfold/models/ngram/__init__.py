"""Count-based language models of any order, over words or over any tokenizer's ids."""

from fourfold.models.ngram.arpa_read import read_arpa
from fourfold.models.ngram.arpa_write import write_arpa
from fourfold.models.ngram.counts import NGramCounts, OrderCounts, count_ngrams, mark_documents
from fourfold.models.ngram.model import NGramConfig, NGramLM, NGramState
from fourfold.models.ngram.pruning import prune_by_entropy
from fourfold.models.ngram.smoothing import smoothing_names
from fourfold.models.ngram.store import load_ngram, save_ngram
from fourfold.models.ngram.training import fit, train_ngram, train_ngram_flat
from fourfold.models.ngram.word_tokenizer import Unit, WordTokenizer
from fourfold.models.ngram.words import OnDisk, train_word_ngram

__all__ = [
    "NGramConfig",
    "NGramCounts",
    "NGramLM",
    "NGramState",
    "OnDisk",
    "OrderCounts",
    "Unit",
    "WordTokenizer",
    "count_ngrams",
    "fit",
    "load_ngram",
    "mark_documents",
    "prune_by_entropy",
    "read_arpa",
    "save_ngram",
    "smoothing_names",
    "train_ngram",
    "train_ngram_flat",
    "train_word_ngram",
    "write_arpa",
]
