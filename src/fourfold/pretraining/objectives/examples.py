"""One row as a model reads it, and rows put together as a batch.

Letters: T tokens of a row, S tokens of its source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from fourfold.pretraining.objectives.marks import Marks, Reserve
from fourfold.training import IGNORED, LabelledBatch

Ids = NDArray[np.int64]
Form = Literal["causal", "prefix", "bidirectional", "both-directions", "encoder-decoder"]
"""What the model lets a token look at, which decides how a source and its target are laid out; `bidirectional` sees
both sides at once, `both-directions` is two models, of which each sees one."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A piece of one document."""

    tokens: Ids
    elsewhere: Callable[[Generator], Ids]
    """Draws a piece of another document."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """Inputs, and what is to be predicted at each place."""

    ids: Ids
    """(T,)"""
    labels: Ids
    """(T,)"""
    source: Ids | None = None
    """(S,) what the encoder reads."""
    prefix: int = 0
    """So many tokens at the start are seen by all."""
    segments: Ids | None = None
    """(T,)"""
    target: int | None = None
    """The class of the row."""


class PretrainingObjective(Protocol):
    """A frozen value: which forms of model it fits, which tokens it needs, and how a row becomes an example."""

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms of model it can train."""

    @property
    def needs(self) -> tuple[Reserve, ...]:
        """The tokens a vocabulary must have reserved."""

    @property
    def classes(self) -> int:
        """Classes of a row to tell apart beside the tokens; 0: none."""

    @property
    def dynamic(self) -> bool:
        """Whether a row is made anew in every epoch."""

    def text_tokens(self, context: int, form: Form) -> int:
        """The most tokens of text whose example never exceeds `context` on either side."""

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        """What the model learns from the row; a function of these arguments only."""


def lay_out(source: Ids, target: Ids, form: Form, marks: Marks) -> Example:
    """A source and what shall follow it: on two sides of an encoder-decoder, or one after the other.

    In a row, the loss is on the target alone; under the mask `prefix` the source sees itself whole.
    """
    if form == "encoder-decoder":
        return Example(ids=np.concatenate([[marks.start], target[:-1]]), labels=target, source=source)
    row = np.concatenate([source, target])
    labels = row[1:].copy()
    labels[: len(source) - 1] = IGNORED
    return Example(ids=row[:-1], labels=labels, prefix=len(source) if form == "prefix" else 0)


def longest_text(size: Callable[[int], int], context: int) -> int:
    """The largest n with size(n) <= context, at least 1 and at most four times the context; `size` never falls."""
    low, high = 1, 4 * context
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(middle) <= context else (low, middle - 1)
    return low


def collate(examples: Sequence[Example], pad: int) -> LabelledBatch:
    """A batch of rows, padded on the right to the longest."""
    sources = [example.source for example in examples if example.source is not None]
    segments = [example.segments for example in examples if example.segments is not None]
    targets = [example.target for example in examples if example.target is not None]
    ids, lengths = _padded([example.ids for example in examples], pad)
    source, source_lengths = _padded(sources, pad) if sources else (None, None)
    return LabelledBatch(
        ids=ids,
        labels=_padded([example.labels for example in examples], IGNORED)[0],
        lengths=lengths,
        prefix=_prefixes([example.prefix for example in examples], ids.shape[1]),
        segments=_padded(segments, 0)[0] if segments else None,
        source=source,
        source_lengths=source_lengths,
        targets=torch.tensor(targets) if targets else None,
    )


def _padded(rows: Sequence[Ids], pad: int) -> tuple[Tensor, Tensor | None]:
    """(B, T) and (B,) lengths, which are None when no row is short."""
    lengths = [len(row) for row in rows]
    values = np.full((len(rows), max(lengths)), pad, np.int64)
    for row, (tokens, length) in enumerate(zip(rows, lengths, strict=True)):
        values[row, :length] = tokens
    return torch.from_numpy(values), torch.tensor(lengths) if min(lengths) < max(lengths) else None


def _prefixes(lengths: Sequence[int], longest: int) -> Tensor | None:
    """(B, T) True on the first tokens of each row."""
    return torch.arange(longest) < torch.tensor(lengths)[:, None] if any(lengths) else None
