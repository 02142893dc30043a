"""What a request's own past does to its logits: penalties and biases, a few numbers changed in place.

Letters: V vocabulary size, S different tokens seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.inference.results import Sampling


def penalise_repetition(logits: Tensor, penalty: float) -> Tensor:
    """Make (S,) logits of tokens that were seen smaller (Keskar et al. 2019, section 4.1).

    As everyone computes it since: positive logits are divided, negative ones multiplied, where the paper only divides.
    """
    return torch.where(logits > 0, logits / penalty, logits * penalty)


def penalise(logits: Tensor, counts: Tensor, presence: float, frequency: float) -> Tensor:
    """Subtract `frequency` for each time a token was written, and `presence` once (OpenAI's API reference)."""
    return logits - counts * frequency - (counts > 0) * presence


class History:
    """The tokens one request has seen, kept up as its answer grows; the work of a step is that of its new tokens.

    Repetition counts prompt and answer, presence and frequency the answer alone.
    """

    def __init__(self, sampling: Sampling, prompt_ids: Sequence[int]) -> None:
        self.repetition = sampling.repetition_penalty
        self.presence, self.frequency = sampling.presence_penalty, sampling.frequency_penalty
        self.bias_ids = torch.tensor(list(sampling.logit_bias), dtype=torch.long)
        self.bias = torch.tensor(list(sampling.logit_bias.values()), dtype=torch.float32)
        self.prompt = list(dict.fromkeys(prompt_ids)) if self.repetition != 1 else []
        self._counts_tokens = self.repetition != 1 or self.presence != 0 or self.frequency != 0
        self._size = self._taken = 0
        self._places: dict[int, int] = {}
        self._ids, self._counts = np.zeros(64, np.int64), np.zeros(64, np.float32)
        self._forget()

    def apply(self, logits: Tensor, ids: Sequence[int]) -> None:
        """Change (V,) logits in place for an answer whose tokens so far are `ids`."""
        self._check(logits.shape[-1])
        self._keep_up(ids)
        if self._size:
            seen, counts = torch.from_numpy(self._ids[: self._size]), torch.from_numpy(self._counts[: self._size])
            changed = penalise_repetition(logits[seen], self.repetition)
            logits[seen] = penalise(changed, counts, self.presence, self.frequency)
        if len(self.bias_ids):
            logits[self.bias_ids] += self.bias

    def _check(self, vocabulary_size: int) -> None:
        beyond = [id for id in self.bias_ids.tolist() if id >= vocabulary_size]
        if beyond:
            raise UserError(
                "logit_bias names a token the model does not have",
                expected=f"ids below {vocabulary_size}", got=beyond[0],
            )  # fmt: skip

    def _keep_up(self, ids: Sequence[int]) -> None:
        if not self._counts_tokens:
            return
        if len(ids) < self._taken:
            self._forget()
        for id in ids[self._taken :]:
            place = self._place(id)  # may make the arrays longer
            self._counts[place] += 1
        self._taken = len(ids)

    def _place(self, id: int) -> int:
        place = self._places.setdefault(id, self._size)
        if place == self._size:
            if place == len(self._ids):
                self._ids, self._counts = np.resize(self._ids, 2 * place), np.resize(self._counts, 2 * place)
            self._ids[place], self._counts[place] = id, 0
            self._size += 1
        return place

    def _forget(self) -> None:
        """Back to the prompt."""
        self._size = self._taken = 0
        self._places.clear()
        for id in self.prompt:
            self._place(id)
