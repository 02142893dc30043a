"""Train an n-gram model over token ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fourfold.models.ngram.counts import NewArray, NGramCounts, count_ngrams, join_documents, mark_documents
from fourfold.models.ngram.estimate import check_pruning, estimate
from fourfold.models.ngram.layout import lay_out
from fourfold.models.ngram.model import NGramConfig, NGramLM
from fourfold.models.ngram.shares import Smoothing
from fourfold.models.ngram.smoothing import check_smoothing, smoothing_for


def train_ngram(
    sequences: Iterable[ArrayLike],
    *,
    order: int,
    vocabulary_size: int,
    smoothing: str = "modified-kneser-ney",
    prune: Sequence[int] = (),
    bos_id: int | None,
    eos_id: int | None = None,
) -> NGramLM:
    """Train on one array of token ids a document, without marks.

    Each document is read after `bos_id`, the tokenizer's document-start id, so scoring starts from it too.
    With `eos_id` the end of a document is an outcome the model predicts; without, the end is not modelled.
    The two may be the same id, as with tokenizers that have a single end-of-text token. `prune` is that of `estimate`.
    """
    tokens, ends = join_documents(sequences)
    return train_ngram_flat(
        tokens,
        ends,
        order=order,
        vocabulary_size=vocabulary_size,
        smoothing=smoothing,
        prune=prune,
        bos_id=bos_id,
        eos_id=eos_id,
    )


def train_ngram_flat(
    tokens: NDArray[np.integer],
    ends: Sequence[int] | NDArray[np.integer],
    *,
    order: int,
    vocabulary_size: int,
    smoothing: str = "modified-kneser-ney",
    prune: Sequence[int] = (),
    bos_id: int | None,
    eos_id: int | None = None,
) -> NGramLM:
    """The same from one flat array, memory-mapped if need be, and the position after each document."""
    check_smoothing(smoothing)  # a wrong name or number fails before the counting
    check_pruning(prune, order)
    stream = mark_documents(tokens, np.asarray(ends, np.int64), bos_id, eos_id)
    count = partial(count_ngrams, order=order, vocabulary_size=vocabulary_size, bos_id=bos_id, eos_id=eos_id)
    return fit(count(stream), smoothing_for(smoothing, stream, count), name=smoothing, prune=prune)


def fit(
    counts: NGramCounts, smoothing: Smoothing, *, name: str, prune: Sequence[int] = (), new: NewArray = np.empty
) -> NGramLM:
    """Smooth counts that are there already by the method `name` stands for."""
    levels, discounts, weights = estimate(counts, smoothing, prune, new)
    config = NGramConfig(
        order=counts.order,
        vocabulary_size=counts.vocabulary_size,
        smoothing=name,
        bos_id=counts.bos_id,
        eos_id=counts.eos_id,
        ngrams=tuple(len(level.words) for level in levels),
        discounts=discounts,
        weights=weights,
    )
    del counts  # nor is a level held here once it was copied
    levels.reverse()
    return NGramLM(config, lay_out((levels.pop() for _ in config.ngrams), config.ngrams, new))
