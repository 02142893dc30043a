"""Training word vectors: rounds of sentences, shared out to threads that change the same matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.files import atomic_file, hash_value
from fourfold.kernels import ContextShape, new_context_work, train_contexts
from fourfold.models.vectors.config import VectorsConfig
from fourfold.models.vectors.corpus import Sentences
from fourfold.models.vectors.tables import make_draws, make_paths, no_paths

CHUNK_WORDS = 10_000
"""Words between two looks at the step size and the random seed; sentences beyond it are cut."""
ROUND_CHUNKS = 100
LANES = 16
"""Vector lengths are padded with zeros, which stay zeros, to whole registers."""


@dataclass(kw_only=True)
class Training:
    """A training that can stop after any round and go on."""

    config: VectorsConfig
    corpus_hash: str
    inputs: NDArray[np.float32]
    """(V, D padded) the vectors."""
    outputs: NDArray[np.float32]
    done: int = 0
    """Chunks trained on, of all epochs."""

    @classmethod
    def start(cls, config: VectorsConfig, sentences: Sentences) -> Self:
        """Vectors uniform in ±1/D, outputs zero: as gensim has it, and twice as far apart as in the authors' program,
        since outputs begin to move at a rate of their length, and a short training ends before they do."""
        size, padded = config.size, -(-config.size // LANES) * LANES
        inputs = np.zeros((len(sentences.words), padded), np.float32)
        random = np.random.Generator(np.random.PCG64(config.seed))
        inputs[:, :size] = (2 * random.random((len(inputs), size), np.float32) - 1) / size
        return cls(config=config, corpus_hash=sentences.hash, inputs=inputs, outputs=np.zeros_like(inputs))

    @property
    def matrix(self) -> NDArray[np.float32]:
        """(V, D)"""
        return np.ascontiguousarray(self.inputs[:, : self.config.size])

    def words(self, sentences: Sentences) -> int:
        """Of all epochs."""
        return len(sentences.tokens) * self.config.epochs

    def words_done(self, sentences: Sentences) -> int:
        starts, _ = _chunks(sentences.ends)
        epochs, place = divmod(self.done, len(starts))
        return epochs * len(sentences.tokens) + int(starts[place])

    @property
    def key(self) -> str:
        """What must be the same for a saved state to be continued."""
        return hash_value([dataclasses.asdict(self.config), self.corpus_hash])

    def save(self, path: Path) -> None:
        from safetensors.numpy import save

        tensors = {"inputs": self.inputs, "outputs": self.outputs}
        with atomic_file(path) as stream:
            stream.write(save(tensors, {"key": self.key, "done": str(self.done)}))

    def restore(self, path: Path) -> bool:
        """Go on from a saved state; False, and nothing changed, if it belongs to another text or other options."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "numpy") as stored:
                facts = stored.metadata() or {}
                if facts.get("key") != self.key:
                    return False
                self.inputs, self.outputs = stored.get_tensor("inputs"), stored.get_tensor("outputs")
                self.done = int(facts["done"])
        except SafetensorError as error:
            raise UserError("not an unfinished training", where=path, got=str(error), advice="Delete it.") from None
        return True


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round did."""

    words: int
    """Of the text, before any were left out."""
    kept: int
    rate: float


def train_vectors(training: Training, sentences: Sentences, *, threads: int = 1) -> Iterator[Round]:
    """Train to the end, a round at a time; between rounds no thread runs and `training` may be saved.

    With one thread equal seeds give equal vectors; more threads overwrite each other's steps now and then.
    """
    config = training.config
    tree = config.output == "hierarchical-softmax"
    shape = ContextShape(config.architecture == "skip-gram", config.window, 0 if tree else config.negatives)
    draws = make_draws(sentences.counts, config.sample)
    paths = make_paths(sentences.counts) if tree else no_paths(len(sentences.words))
    starts, stops = _chunks(sentences.ends)
    ends = _cut_long(sentences.ends)
    total = training.words(sentences)

    def run(chunk: int) -> int:
        epoch, place = divmod(chunk, len(starts))
        first, last = int(starts[place]), int(stops[place])
        work = new_context_work(training.inputs, training.outputs, draws, paths, shape, rate_at(chunk))
        inside = ends[np.searchsorted(ends, first, "right") : np.searchsorted(ends, last, "right")] - first
        return train_contexts(work, sentences.tokens[first:last], inside, _seed(config.seed, epoch, place))

    def rate_at(chunk: int) -> float:
        epoch, place = divmod(chunk, len(starts))
        passed = (epoch * len(sentences.tokens) + int(starts[place])) / total
        return max(config.first_rate * (1 - passed), config.last_rate)

    with ThreadPoolExecutor(threads) as pool:
        while training.done < len(starts) * config.epochs:
            chunks = range(training.done, min(training.done + ROUND_CHUNKS, len(starts) * config.epochs))
            kept = sum(pool.map(run, chunks))
            training.done = chunks.stop
            words = sum(int(stops[chunk % len(starts)] - starts[chunk % len(starts)]) for chunk in chunks)
            yield Round(words=words, kept=kept, rate=rate_at(chunks.stop - 1))


def _cut_long(ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ends of sentences, those over CHUNK_WORDS cut."""
    starts = np.append(0, ends[:-1])
    if (ends - starts).max() <= CHUNK_WORDS:
        return ends
    cuts = [np.append(np.arange(a + CHUNK_WORDS, b, CHUNK_WORDS), b) for a, b in zip(starts, ends, strict=True)]
    return np.concatenate(cuts)


def _chunks(ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where chunks of whole sentences of about CHUNK_WORDS words begin and end."""
    ends = _cut_long(ends)
    last = np.flatnonzero(np.diff((ends - 1) // CHUNK_WORDS, append=-1))
    stops = ends[last]
    return np.append(0, stops[:-1]), stops


def _seed(*parts: int) -> int:
    """A state of the kernel's generator that no other part of a training has but by rare chance."""
    digest = sha256(repr(parts).encode()).digest()
    carry, number = int.from_bytes(digest[:4], "big") >> 4, int.from_bytes(digest[4:8], "big")
    return (carry + 1) << 32 | number
