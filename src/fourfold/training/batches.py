"""What a training step eats: labelled batches, found by step number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

IGNORED = -100
"""The label of a position whose prediction is not trained."""


class Batch(Protocol):
    """Anything an objective understands; the loop itself needs only this."""

    @property
    def tokens(self) -> int:
        """Real tokens the model reads in this batch."""

    def to(self, device: torch.device) -> Self: ...


class BatchSource(Protocol):
    """Data by step number, so that the step is the data position and resuming needs nothing else."""

    def at(self, step: int) -> Sequence[Any]:
        """The micro-batches of that step, a pure function of `step`."""


@dataclass(frozen=True)
class LabelledBatch:
    """Rows of token ids with the target of every position."""

    ids: Tensor
    """(B, T) inputs."""
    labels: Tensor
    """(B, T) the target of each position, already shifted; `IGNORED` where none is wanted."""
    lengths: Tensor | None = None
    """(B,) real tokens of each row; None: all T."""
    documents: Tensor | None = None
    """(B, T) document numbers of packed rows."""

    @property
    def tokens(self) -> int:
        return self.ids.numel() if self.lengths is None else int(self.lengths.sum())

    def to(self, device: torch.device) -> LabelledBatch:
        def moved(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device)

        return LabelledBatch(self.ids.to(device), self.labels.to(device), moved(self.lengths), moved(self.documents))


@dataclass(frozen=True)
class FixedBatches:
    """A BatchSource over a list of steps, repeated when it runs out."""

    steps: Sequence[Sequence[Any]]

    def at(self, step: int) -> Sequence[Any]:
        return self.steps[step % len(self.steps)]
