"""Train an n-gram model over token ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fourfold.models.ngram.counts import NGramCounts, count_ngrams, join_documents, mark_documents
from fourfold.models.ngram.estimate import estimate
from fourfold.models.ngram.model import NGramConfig, NGramLM
from fourfold.models.ngram.smoothing import smoothing_named


def train_ngram(
    sequences: Iterable[ArrayLike],
    *,
    order: int,
    vocabulary_size: int,
    smoothing: str = "modified-kneser-ney",
    bos_id: int | None,
    eos_id: int | None = None,
) -> NGramLM:
    """Train on one array of token ids a document, without marks.

    Each document is read after `bos_id`, the tokenizer's document-start id, so scoring starts from it too.
    With `eos_id` the end of a document is an outcome the model predicts; without, the end is not modelled.
    The two may be the same id, as with tokenizers that have a single end-of-text token.
    """
    tokens, ends = join_documents(sequences)
    return train_ngram_flat(
        tokens, ends, order=order, vocabulary_size=vocabulary_size, smoothing=smoothing, bos_id=bos_id, eos_id=eos_id
    )


def train_ngram_flat(
    tokens: NDArray[np.integer],
    ends: Sequence[int] | NDArray[np.integer],
    *,
    order: int,
    vocabulary_size: int,
    smoothing: str = "modified-kneser-ney",
    bos_id: int | None,
    eos_id: int | None = None,
) -> NGramLM:
    """The same from one flat array, memory-mapped if need be, and the position after each document."""
    smoothing_named(smoothing)  # an unknown name fails before the counting
    stream = mark_documents(tokens, np.asarray(ends, np.int64), bos_id, eos_id)
    return fit(count_ngrams(stream, order, vocabulary_size, bos_id, eos_id), smoothing)


def fit(counts: NGramCounts, smoothing: str) -> NGramLM:
    """Smooth counts that are there already."""
    trie, discounts = estimate(counts, smoothing_named(smoothing))
    config = NGramConfig(
        order=counts.order,
        vocabulary_size=counts.vocabulary_size,
        smoothing=smoothing,
        bos_id=counts.bos_id,
        eos_id=counts.eos_id,
        ngrams=tuple(len(table) for table in counts.orders),
        discounts=discounts,
    )
    return NGramLM(config, trie)
