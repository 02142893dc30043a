"""Batches for an objective: which row stands where is a function of the seed and the step."""

from __future__ import annotations

from functools import lru_cache
from typing import final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.pretraining.corpus import TokenShards
from fourfold.pretraining.objectives.examples import Example, Form, Ids, PretrainingObjective, Row, collate
from fourfold.pretraining.objectives.marks import Marks
from fourfold.training import LabelledBatch

FEWEST_TOKENS = 4
"""A shorter rest of a document is left out."""


@final
class ObjectiveBatches:
    """A BatchSource: documents are cut into pieces as long as the objective can take, one a row.

    Every epoch visits all pieces once in a new order. What happens to a piece is drawn anew in every epoch,
    or once for all when the objective is not `dynamic`.
    """

    def __init__(
        self,
        shards: TokenShards,
        objective: PretrainingObjective,
        marks: Marks,
        form: Form,
        *,
        batch_size: int,
        context: int,
        seed: int,
    ) -> None:
        if form not in objective.forms:
            raise UserError(
                "this objective cannot train this model", expected=" or ".join(objective.forms), got=f"a {form} model"
            )
        self._shards, self._seed = shards, seed
        self._objective, self._marks, self._form = objective, marks, form
        self._text_tokens = objective.text_tokens(context, form)
        if self._text_tokens < FEWEST_TOKENS:
            raise UserError("the context is too short for this objective", got=f"{context} tokens")
        self.batch_size = batch_size
        self._documents, self._starts = _pieces(shards.ends, self._text_tokens)
        self.rows = len(self._starts)
        """Rows an epoch."""
        if self.rows < 1:
            raise UserError("the text is too short for one row", expected=f"a document of {FEWEST_TOKENS} tokens")
        self._order = lru_cache(maxsize=2)(lambda epoch: np.random.default_rng((seed, epoch)).permutation(self.rows))

    def at(self, step: int) -> list[LabelledBatch]:
        """The micro-batches of a step: one."""
        return self.rows_from(step * self.batch_size, self.batch_size)

    def rows_from(self, first: int, count: int) -> list[LabelledBatch]:
        """So many rows from number `first` on, in one batch."""
        return [collate([self._example(place) for place in range(first, first + count)], self._marks.end)]

    def tokens_a_row(self) -> float:
        """Tokens of text in a row on average; a budget of tokens counts these."""
        return len(self._shards.tokens) / self.rows

    def _example(self, place: int) -> Example:
        epoch, index = divmod(place, self.rows)
        row = int(self._order(epoch)[index])
        seed = (self._seed, epoch + 1, row) if self._objective.dynamic else (self._seed, 0, row)
        tokens = self._piece(row)
        own = int(self._documents[row])
        return self._objective.example(
            Row(tokens=tokens, elsewhere=lambda random: self._elsewhere(own, random)),
            self._marks,
            self._form,
            np.random.default_rng(seed),
        )

    def _piece(self, row: int) -> Ids:
        document = self._shards.documents(int(self._documents[row]))
        start = int(self._starts[row])
        return np.asarray(document[start : start + self._text_tokens], np.int64)

    def _elsewhere(self, own: int, random: Generator) -> Ids:
        """A piece of another document, or of the same one when there is no other."""
        for _ in range(16):
            row = int(random.integers(self.rows))
            if int(self._documents[row]) != own:
                break
        return self._piece(row)


def _pieces(ends: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Document and first token of every piece."""
    sizes = np.diff(ends, prepend=0)
    counts = np.maximum(0, (sizes - FEWEST_TOKENS) // length + 1)
    documents = np.repeat(np.arange(len(sizes)), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return documents, (np.arange(len(documents)) - before) * length
