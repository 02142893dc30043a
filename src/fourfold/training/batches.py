"""What a training step eats: labelled batches, found by step number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from fourfold.models import Step, Trace

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
    """Rows of token ids with the target of every position.

    Labels are already where they belong: one place on for causal, prefix and decoder rows, in
    place for masked ones. The objective only compares position with position.
    """

    ids: Tensor
    """(B, T) inputs; of an encoder-decoder, what the decoder reads."""
    labels: Tensor
    """(B, T) the target of each position, already placed; `IGNORED` where none is wanted."""
    lengths: Tensor | None = None
    """(B,) real tokens of each row; None: all T."""
    documents: Tensor | None = None
    """(B, T) document numbers of packed rows."""
    prefix: Tensor | None = None
    """(B, T) True on the tokens that all tokens of their document see."""
    segments: Tensor | None = None
    """(B, T) kind of segment of each token."""
    source: Tensor | None = None
    """(B, S) what the encoder of an encoder-decoder reads."""
    source_lengths: Tensor | None = None
    """(B,) real tokens of each source; None: all S."""
    targets: Tensor | None = None
    """What a classifier shall say, `IGNORED` where nothing: (B,) the class of each row, (B, T) of each
    token, (B, 2) the first and last token of a span."""

    @property
    def tokens(self) -> int:
        source = 0 if self.source is None else real_tokens(self.source, self.source_lengths)
        return real_tokens(self.ids, self.lengths) + source

    @property
    def asked(self) -> Tensor:
        """(B,) True on rows with a label or a target: those that only fill a batch up have neither."""
        asked = (self.labels != IGNORED).any(1)
        return asked if self.targets is None else asked | (self.targets.reshape(len(asked), -1) != IGNORED).any(1)

    def to(self, device: torch.device) -> Self:
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if value is not None})

    def step(self, trace: Trace | None = None) -> Step:
        """The model's input."""
        return Step(
            ids=self.ids,
            lengths=self.lengths,
            documents=self.documents,
            prefix=self.prefix,
            segments=self.segments,
            source=self.source,
            source_lengths=self.source_lengths,
            trace=trace,
        )


def real_tokens(ids: Tensor, lengths: Tensor | None) -> int:
    return ids.numel() if lengths is None else int(lengths.sum())


def real_mask(ids: Tensor, lengths: Tensor | None) -> Tensor:
    """(B, T) True on real tokens."""
    if lengths is None:
        return torch.ones_like(ids, dtype=torch.bool)
    return torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]


@dataclass(frozen=True)
class FixedBatches:
    """A BatchSource over a list of steps, repeated when it runs out."""

    steps: Sequence[Sequence[Any]]

    def at(self, step: int) -> Sequence[Any]:
        return self.steps[step % len(self.steps)]
