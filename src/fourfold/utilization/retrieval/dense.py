"""Passages found by meaning: a vector of each, from one of our sentence encoders, and what the encoder can not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fourfold.errors import UserError
from fourfold.progress import say, task
from fourfold.tokenizers import Tokenizer
from fourfold.utilization.retrieval.postings import Scores, best
from fourfold.utilization.retrieval.store import Store

MOST_UNKNOWN = 0.1
"""Share of tokens that may be unknown to the encoder. Of English all-MiniLM knows every token, and
of no paragraph of CMRC more than 64 %: the limit lies far from both."""
_CHUNK = 256
FUSED = 100
"""How far down a ranking fusion looks."""
_RANK_OFFSET = 60


class Encoder(Protocol):
    """What dense search needs of a model: `fourfold.load` of a sentence encoder gives one."""

    name: str
    tokenizer: Tokenizer

    def embed(self, texts: Sequence[str]) -> Tensor: ...


class Vectors(NamedTuple):
    """(N,) numbers of passages and (N, D) their vectors of length 1."""

    passages: NDArray[np.int64]
    vectors: NDArray[np.float16]


def unknown_shares(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float64]:
    """For each text the share of its tokens that the encoder has only its unknown token for."""
    unknown = encoder.tokenizer.unk_id
    encoded = encoder.tokenizer.encode_batch_ordinary(texts)
    return np.array([sum(id == unknown for id in ids) / max(len(ids), 1) for ids in encoded])


def embed_question(encoder: Encoder, question: str) -> NDArray[np.float32]:
    """(D,) its vector; a question that the encoder can not read is refused."""
    (share,) = unknown_shares(encoder, [question])
    if share > MOST_UNKNOWN:
        raise UserError(
            "the encoder can not read this question", where=encoder.name,
            expected=f"at most {MOST_UNKNOWN:.0%} unknown tokens", got=f"{share:.0%}",
            advice="Search by words (bm25), which reads every script, or choose a multilingual encoder.",
        )  # fmt: skip
    vector: NDArray[np.float32] = _unit(encoder.embed([question]).numpy())[0]
    return vector


def embed_missing(encoder: Encoder, store: Store, alive: NDArray[np.int64]) -> int:
    """Give every living passage its vector, in steps that are kept; returns how many the encoder can not read."""
    probe = _unit(encoder.embed(["fourfold"]).numpy())[0]
    store.keep_vectors_of(encoder.name, probe.astype(np.float16))
    missing = np.setdiff1d(alive, store.embedded(), assume_unique=True)
    if len(missing):
        say(f"{len(missing)} passages get a vector from {encoder.name}; what is done is kept")
    with task("embed", len(missing), "passages") as work:
        for at in range(0, len(missing), _CHUNK):
            _embed(encoder, store, missing[at : at + _CHUNK])
            work.advance(len(missing[at : at + _CHUNK]))
    readable = np.intersect1d(load_vectors(store).passages, alive, assume_unique=True)
    unreadable = len(alive) - len(readable)
    if unreadable and not len(readable):
        raise UserError(
            "the encoder can read none of these documents", where=encoder.name,
            expected=f"at most {MOST_UNKNOWN:.0%} unknown tokens",
            advice="Search by words (bm25), which reads every script, or choose a multilingual encoder.",
        )  # fmt: skip
    if unreadable:
        say(f"{unreadable} of {len(alive)} passages have a text that {encoder.name} can not read: only words find them")
    return unreadable


def _embed(encoder: Encoder, store: Store, numbers: NDArray[np.int64]) -> None:
    passages = store.passages(numbers.tolist())
    texts = [f"{passage.heading}\n{passage.text}" if passage.heading else passage.text for passage in passages]
    legible = unknown_shares(encoder, texts) <= MOST_UNKNOWN
    kept = [text for text, fine in zip(texts, legible, strict=True) if fine]
    vectors = _unit(encoder.embed(kept).numpy()) if kept else np.empty((0, 0), np.float32)
    found = np.array([passage.id for passage in passages], np.int64)
    with store.writing():
        store.add_vectors(numbers, found[legible], vectors.astype(np.float16))


def load_vectors(store: Store) -> Vectors:
    rows = [row for row in store.vectors() if len(row[0])]
    if not rows:
        return Vectors(np.empty(0, np.int64), np.empty((0, 0), np.float16))
    return Vectors(np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows]))


def nearest(vectors: Vectors, alive: NDArray[np.bool_], question: NDArray[np.float32], k: int) -> Scores:
    """The `k` living passages of greatest cosine with a question's vector, best first."""
    living = alive[vectors.passages]
    scores = np.full(len(vectors.passages), -1.0, np.float32)
    for at in range(0, len(scores), 16384):  # in half precision on disk and in memory, in single while multiplied
        scores[at : at + 16384] = vectors.vectors[at : at + 16384].astype(np.float32) @ question
    return best(vectors.passages[living], scores[living], k)


def fuse(first: Scores, second: Scores, k: int) -> Scores:
    """Reciprocal rank fusion of two rankings (Cormack, Clarke, Büttcher 2009): the sum of 1 / (60 + rank)."""
    numbers = np.union1d(first.numbers[:FUSED], second.numbers[:FUSED])
    total = np.zeros(len(numbers), np.float32)
    for ranking in (first, second):
        ranked = ranking.numbers[:FUSED]
        total[np.searchsorted(numbers, ranked)] += 1 / (_RANK_OFFSET + 1 + np.arange(len(ranked)))
    return best(numbers, total, k)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
