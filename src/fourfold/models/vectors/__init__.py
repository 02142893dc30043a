"""word2vec: one vector a word, learnt from the words around it."""

from fourfold.models.vectors.config import VectorsConfig
from fourfold.models.vectors.corpus import Sentences, Unit, read_sentences, without_rare
from fourfold.models.vectors.files import Format, format_of, read_vectors, write_vectors
from fourfold.models.vectors.judging import (
    Analogies,
    Similarity,
    answer_analogies,
    compare_similarities,
    is_analogies,
    spearman,
)
from fourfold.models.vectors.phrases import join_phrases, phrase_scores
from fourfold.models.vectors.projecting import Plane, plane, write_projector
from fourfold.models.vectors.tables import alias_table, keep_probabilities, make_draws, make_paths, no_paths
from fourfold.models.vectors.training import Round, Training, train_vectors
from fourfold.models.vectors.vectors import Method, StaticVectors

__all__ = [
    "Analogies",
    "Format",
    "Method",
    "Plane",
    "Round",
    "Sentences",
    "Similarity",
    "StaticVectors",
    "Training",
    "Unit",
    "VectorsConfig",
    "alias_table",
    "answer_analogies",
    "compare_similarities",
    "format_of",
    "is_analogies",
    "join_phrases",
    "keep_probabilities",
    "make_draws",
    "make_paths",
    "no_paths",
    "phrase_scores",
    "plane",
    "read_sentences",
    "read_vectors",
    "spearman",
    "train_vectors",
    "without_rare",
    "write_projector",
    "write_vectors",
]
