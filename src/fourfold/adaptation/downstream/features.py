"""Three generations of features under one classifier: static vectors, ELMo's states, a transformer's states.

Letters: B rows, T tokens, F features a token, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn

from fourfold.adaptation.downstream.encoding import Row, in_batches, put_together
from fourfold.models import Step, TransformerLM
from fourfold.models.elmo import ElmoLM, ScalarMix
from fourfold.training import LabelledBatch, class_loss_sum, real_mask


class Features(Protocol):
    """A module that turns (B, T) ids, of which each row's first `lengths` are real, into (B, T, F)."""

    @property
    def size(self) -> int:
        """F"""

    def __call__(self, ids: Tensor, lengths: Tensor) -> Tensor: ...


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
class ElmoFeatures(nn.Module):
    """The frozen states of ELMo's layers, mixed as the task learns (Peters et al. 2018, section 3.3)."""

    def __init__(self, model: ElmoLM) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.mix = ScalarMix(model.config.layers + 1)

    @property
    def size(self) -> int:
        return 2 * self.model.config.hidden_size

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        with torch.no_grad():
            states = self.model.encode(ids, real_mask(ids, lengths))
        mixed: Tensor = self.mix(states)
        return mixed


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
class FeatureClassifier(nn.Module):
    """A linear layer on features: of each token, or of their mean and maximum over the row."""

    def __init__(self, features: Features, classes: int, *, of_tokens: bool, dropout: float = 0.1) -> None:
        super().__init__()
        self.features, self.of_tokens = features, of_tokens
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(features.size * (1 if of_tokens else 2), classes)

    def hidden(self, step: Step) -> Tensor:
        """(B, T, F)"""
        lengths = step.lengths
        if lengths is None:
            lengths = torch.full((len(step.ids),), step.ids.shape[1], device=step.ids.device)
        return self.features(step.ids, lengths)

    def classify(self, hidden: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, F) to (B, C), or (B, T, C) of tokens."""
        if not self.of_tokens:
            real = real_mask(hidden[..., 0], lengths)[..., None]
            mean = (hidden * real).sum(1) / real.sum(1)
            hidden = torch.cat((mean, hidden.masked_fill(~real, -torch.inf).amax(1)), dim=-1)
        found: Tensor = self.output(self.dropout(hidden))
        return found


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
