"""What is minimised: named sums whose counts are known before the forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from fourfold.models import CausalLM, Step
from fourfold.training.batches import IGNORED, LabelledBatch
from fourfold.training.cross_entropy import cross_entropy_sum, rows_at_once


class Objective(Protocol):
    """Maps a model and a micro-batch to named sums.

    Over the micro-batches of a step, loss = sum over names of weight * (sum of sums / sum
    of counts), so unequal micro-batches accumulate to exactly the big batch. A name without
    a weight is only watched. The name "loss" is the loop's own.
    """

    @property
    def weights(self) -> Mapping[str, float]: ...

    def counts(self, batch: Any) -> Mapping[str, float]:
        """What each sum is divided by, known before the forward pass."""

    def __call__(self, model: nn.Module, batch: Any) -> Mapping[str, Tensor]:
        """One scalar sum for each name of `counts`."""


@dataclass(frozen=True, kw_only=True)
class CausalLanguageModelling:
    """Mean of -ln P(label) over the labelled positions of `LabelledBatch`es."""

    rows: int | None = None
    """Positions whose logits are held at a time; None: chosen by the vocabulary's size."""
    weights: Mapping[str, float] = field(default_factory=lambda: {"cross_entropy": 1.0})

    def counts(self, batch: LabelledBatch) -> Mapping[str, float]:
        return {"cross_entropy": float((batch.labels != IGNORED).sum())}

    def __call__(self, model: nn.Module, batch: LabelledBatch) -> Mapping[str, Tensor]:
        lm = causal(model)
        hidden = lm.hidden(Step(ids=batch.ids, lengths=batch.lengths, documents=batch.documents))
        rows = self.rows or rows_at_once(lm.vocabulary_size)
        return {"cross_entropy": cross_entropy_sum(model, lm.logits, hidden, batch.labels, rows)}


def causal_language_modelling(rows: int | None = None) -> CausalLanguageModelling:
    """Next-token prediction; also the objective of instruction tuning, whose labels are masked by the data."""
    return CausalLanguageModelling(rows=rows)


def causal(model: nn.Module) -> CausalLM:
    """The same model, seen as the protocol that objectives of language models need."""
    if not isinstance(model, CausalLM):
        raise TypeError(f"{type(model).__name__} is not a CausalLM")
    return model
