"""Three generations of features under one classifier: static vectors, ELMo's states, a transformer's states.

ELMo's and the classifier are `models.elmo`'s, since a tuned one is a model that is loaded.
Letters: B rows, T tokens, F features a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from fourfold.adaptation.downstream.encoding import Row, in_batches, put_together
from fourfold.models import Step, TransformerLM
from fourfold.models.elmo import FeatureClassifier
from fourfold.training import LabelledBatch, class_loss_sum


@final
class StaticFeatures(nn.Module):
    """One vector a token, whatever stands around it; frozen, as vectors of word2vec are used as features."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", matrix)

    @property
    def size(self) -> int:
        return self.get_buffer("table").shape[1]

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        return self.get_buffer("table")[ids]


@final
class EncoderFeatures(nn.Module):
    """The last states of a transformer, all of whose weights are tuned (Devlin et al. 2019, section 3.2)."""

    def __init__(self, model: TransformerLM) -> None:
        super().__init__()
        self.model = model

    @property
    def size(self) -> int:
        return self.model.config.hidden_size

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        return self.model.hidden(Step(ids=ids, lengths=lengths))


@final
class Classifying:
    """Mean of -ln P(class) over the targets of a batch, for the one loop."""

    weights: Mapping[str, float] = {"classes": 1.0}  # read only, as in the protocol

    def counts(self, batch: LabelledBatch) -> Mapping[str, float]:
        assert batch.targets is not None
        return {"classes": float((batch.targets >= 0).sum())}

    def __call__(self, model: nn.Module, batch: LabelledBatch) -> Mapping[str, Tensor]:
        assert isinstance(model, FeatureClassifier)
        return {"classes": class_loss_sum(model, model.hidden(batch.step()), batch, span=False)}


@torch.inference_mode()
def share_right(model: FeatureClassifier, rows: Sequence[Row], pad: int, batch_size: int = 64) -> float:
    """Of all targets, the share the model names."""
    model.eval()
    right = asked = 0
    for numbers in in_batches(rows, batch_size):
        batch: Any = put_together([rows[number] for number in numbers], pad)
        guesses = model.classify(model.hidden(batch.step()), batch.lengths).argmax(-1)
        wanted = batch.targets >= 0
        right += int(((guesses == batch.targets) & wanted).sum())
        asked += int(wanted.sum())
    return right / max(asked, 1)
