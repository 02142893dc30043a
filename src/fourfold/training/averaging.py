"""An exponential moving average of the weights: often better than the last ones, at a copy's cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from fourfold.errors import UserError


@final
class WeightAverage:
    """average = decay * average + (1 - decay) * weights after each step (Polyak and Juditsky 1992; exponential form).

    Departure: early on the decay is at most (1 + steps) / (10 + steps), so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise UserError("the decay of a weight average is out of range", expected="between 0 and 1", got=decay)
        self.decay = decay
        self.steps = 0
        self._weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.averages = {name: value.detach().clone() for name, value in self._weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, average in self.averages.items():
            average.lerp_(self._weights[name], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model with the average as its weights; afterwards with its own again."""
        own = {name: value.detach().clone() for name, value in self._weights.items()}
        self._copy(self.averages)
        try:
            yield
        finally:
            self._copy(own)

    def apply(self) -> None:
        """Give the model the average as its weights for good."""
        self._copy(self.averages)

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        with torch.no_grad():
            for name, value in self.averages.items():
                value.copy_(tensors[name])
        self.steps = steps

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._weights.items():
            parameter.copy_(values[name])
