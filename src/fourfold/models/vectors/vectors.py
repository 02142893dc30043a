"""Word vectors ready for questions: nearest words and analogies.

Letters: V words, D vector size, Q questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fourfold.errors import UserError, unknown_name

Method = Literal["add", "multiply"]
EPSILON = 1e-3
"""Levy & Goldberg 2014, equation 4: keeps 3CosMul from dividing by zero."""


@final
class StaticVectors:
    """One vector a word, the most frequent word first."""

    def __init__(self, words: Sequence[str], matrix: NDArray[np.float32]) -> None:
        if matrix.shape[0] != len(words) or matrix.ndim != 2:
            raise UserError("words and vectors do not fit", expected=f"{len(words)} rows", got=matrix.shape)
        self.words = list(words)
        self.matrix = matrix
        self.index = {word: row for row, word in enumerate(self.words)}
        if len(self.index) != len(self.words):
            twice = next(word for row, word in enumerate(self.words) if self.index[word] != row)
            raise UserError("a word has two vectors", got=repr(twice))

    @property
    def size(self) -> int:
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """(V, D) the vectors at length 1; a zero vector stays."""
        lengths = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        unit: NDArray[np.float32] = self.matrix / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit

    def row(self, word: str) -> int:
        if word not in self.index:
            raise self._unknown(word)
        return self.index[word]

    def vector(self, word: str) -> Tensor:
        """(D,)"""
        return torch.from_numpy(self.matrix[self.row(word)].copy())

    def similarity(self, one: str, other: str) -> float:
        """The cosine."""
        return float(self.unit[self.row(one)] @ self.unit[self.row(other)])

    def nearest(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The words of the greatest cosine, the word itself apart."""
        row = self.row(word)
        return self._best(self.unit @ self.unit[row], [row], k)

    def analogy(
        self, positive: Sequence[str], negative: Sequence[str], k: int = 10, method: Method = "add"
    ) -> list[tuple[str, float]]:
        """What is to the positive words as they are to the negative ones: woman + king - man. The given words apart."""
        more, less = [self.row(word) for word in positive], [self.row(word) for word in negative]
        if not more:
            raise UserError("an analogy needs a word to go from", expected="at least one positive word")
        if method == "add":
            goal = self.unit[more].sum(axis=0) - self.unit[less].sum(axis=0)
            scores = self.unit @ (goal / max(float(np.linalg.norm(goal)), 1e-30))
        else:
            shifted = (1 + self.unit @ self.unit[[*more, *less]].T) / 2
            scores = shifted[:, : len(more)].prod(axis=1) / (shifted[:, len(more) :] + EPSILON).prod(axis=1)
        return self._best(scores, [*more, *less], k)

    def solve(self, questions: NDArray[np.int64], method: Method, limit: int) -> NDArray[np.int64]:
        """(Q,) the best of the first `limit` words for (Q, 3) rows a, b, c: what is to c as b is to a, none of them.

        3CosAdd (Mikolov et al. 2013c) or 3CosMul (Levy & Goldberg 2014).
        """
        unit = self.unit[:limit]
        a, b, c = self.unit[questions].transpose(1, 0, 2)
        if method == "add":
            scores = (b - a + c) @ unit.T
        else:
            near_a, near_b, near_c = ((1 + side @ unit.T) / 2 for side in (a, b, c))
            scores = near_b * near_c / (near_a + EPSILON)
        inside = questions < len(unit)
        rows = np.broadcast_to(np.arange(len(questions))[:, None], questions.shape)
        scores[rows[inside], questions[inside]] = -np.inf
        return np.asarray(scores.argmax(axis=1))

    def _best(self, scores: NDArray[np.float32], without: Sequence[int], k: int) -> list[tuple[str, float]]:
        if k < 1:
            raise UserError("nothing asked for", expected="k of at least 1", got=k)
        scores = scores.copy()
        scores[list(without)] = -np.inf
        k = min(k, len(scores) - len(set(without)))
        best = np.argpartition(-scores, k - 1)[:k] if 0 < k < len(scores) else np.arange(len(scores))[:k]
        return [(self.words[row], float(scores[row])) for row in sorted(best, key=lambda row: -scores[row])]

    def _unknown(self, word: str) -> UserError:
        others: Mapping[str, None] = dict.fromkeys(w for w in (word.lower(), word.capitalize()) if w in self.index)
        return unknown_name("word", word, others or _alike(word, self.words))


def _alike(word: str, words: Sequence[str]) -> list[str]:
    """A few words that begin alike: looking at all of them for the nearest would take seconds."""
    for length in range(len(word), 0, -1):
        found = [other for other in words if other.startswith(word[:length])]
        if found:
            return found[:8]
    return list(words[:8])
