"""Features of tokens under one classifier, and ELMo's: the mixed states of its layers.

Letters: B rows, T tokens, L layers, F features a token, C classes.
"""

from __future__ import annotations

from typing import Protocol, final

import torch
from torch import Tensor, nn

from fourfold.models.elmo.model import ElmoLM
from fourfold.models.protocols import Step


class Features(Protocol):
    """A module that turns (B, T) ids, of which each row's first `lengths` are real, into (B, T, F)."""

    @property
    def size(self) -> int:
        """F"""

    def __call__(self, ids: Tensor, lengths: Tensor) -> Tensor: ...


@final
class ScalarMix(nn.Module):
    """gamma times the mean of the layers, weighted by a softmax (Peters et al. 2018, equation 1)."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, states: tuple[Tensor, ...]) -> Tensor:
        """So many (B, T, F) layers to one."""
        shares = self.weights.softmax(0)
        return self.gamma * torch.stack([share * state for share, state in zip(shares, states, strict=True)]).sum(0)


@final
class ElmoFeatures(nn.Module):
    """The states of ELMo's layers, mixed as the task learns (Peters et al. 2018, section 3.3).

    `frozen`: the language models stay as they are; else the task changes them too.
    """

    def __init__(self, model: ElmoLM, *, frozen: bool = True) -> None:
        super().__init__()
        self.model = model.requires_grad_(not frozen)
        self.mix = ScalarMix(model.config.layers + 1)

    @property
    def size(self) -> int:
        return 2 * self.model.config.hidden_size

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        mixed: Tensor = self.mix(self.model.encode(ids, _real(ids, lengths)))
        return mixed


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
            real = _real(hidden[..., 0], lengths)[..., None]
            mean = (hidden * real).sum(1) / real.sum(1)
            hidden = torch.cat((mean, hidden.masked_fill(~real, -torch.inf).amax(1)), dim=-1)
        found: Tensor = self.output(self.dropout(hidden))
        return found


def _real(rows: Tensor, lengths: Tensor | None) -> Tensor:
    """(B, T) True on real tokens."""
    if lengths is None:
        return torch.ones_like(rows, dtype=torch.bool)
    return torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]
