"""The loss of a language model in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from fourfold.models.elmo import ElmoLM
from fourfold.training.batches import IGNORED, LabelledBatch
from fourfold.training.cross_entropy import cross_entropy_sum, rows_at_once


@dataclass(frozen=True, kw_only=True)
class BothDirections:
    """Mean of -ln P(next token) plus mean of -ln P(token before) (Peters et al. 2018, section 3.1).

    Batches are those of next-token prediction; the token before the first of a row is not predicted.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"forward": 1.0, "backward": 1.0})

    def counts(self, batch: LabelledBatch) -> Mapping[str, float]:
        after = float((batch.labels != IGNORED).sum())
        return {"forward": after, "backward": float((labels_before(batch) != IGNORED).sum())}

    def __call__(self, model: nn.Module, batch: LabelledBatch) -> Mapping[str, Tensor]:
        if not isinstance(model, ElmoLM):
            raise TypeError(f"{type(model).__name__} has no two directions")
        found, rows = model.directions(batch.ids, batch.lengths), rows_at_once(model.vocabulary_size)
        return {
            "forward": cross_entropy_sum(model, model.logits, found.forward, batch.labels, rows),
            "backward": cross_entropy_sum(model, model.logits, found.backward, labels_before(batch), rows),
        }


def labels_before(batch: LabelledBatch) -> Tensor:
    """(B, T) the token before each, `IGNORED` where there is none or the place is padding."""
    labels = batch.ids.roll(1, dims=1)
    labels[:, 0] = IGNORED
    if batch.lengths is not None:
        for row, length in enumerate(batch.lengths.tolist()):
            labels[row, length:] = IGNORED
    return labels
