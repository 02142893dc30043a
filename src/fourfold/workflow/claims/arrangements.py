"""How a row of tokens becomes a prediction task: for a decoder, a prefix decoder, an encoder-decoder.

Letters: B rows, T tokens that are read, h tokens of the first half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.training import IGNORED, BatchSource, LabelledBatch

STREAM, HALVES, PREFIX, ENCODER_DECODER = "stream", "halves", "prefix", "encoder-decoder"


def arranged(rows: Tensor, arrangement: str, start_id: int) -> LabelledBatch:
    """(B, T + 1) tokens as a batch.

        stream            read x0 … x(T-1), predict x1 … xT
        halves            the same, but only xh … xT are predicted
        prefix            the same, and x0 … x(h-1) see each other in both directions
        encoder-decoder   the encoder reads x0 … x(h-1), the decoder a start token and xh … x(T-1)

    All but the first predict the same tokens from the same tokens.
    """
    half = middle(rows.shape[1])
    if arrangement == ENCODER_DECODER:
        start = torch.full_like(rows[:, :1], start_id)
        decoder = torch.cat([start, rows[:, half:-1]], dim=1)
        return LabelledBatch(ids=decoder, labels=rows[:, half:].contiguous(), source=rows[:, :half].contiguous())
    ids, labels = rows[:, :-1].contiguous(), rows[:, 1:].clone()
    if arrangement == STREAM:
        return LabelledBatch(ids=ids, labels=labels)
    labels[:, : half - 1] = IGNORED
    if arrangement == HALVES:
        return LabelledBatch(ids=ids, labels=labels)
    prefix = torch.zeros_like(ids, dtype=torch.bool)
    prefix[:, :half] = True
    return LabelledBatch(ids=ids, labels=labels, prefix=prefix)


def middle(length: int) -> int:
    """Where the second half of so many tokens begins."""
    return length // 2


@dataclass(frozen=True)
class ArrangedBatches:
    """A batch source over windows of text, each row arranged."""

    windows: BatchSource
    arrangement: str
    start_id: int

    def at(self, step: int) -> Sequence[LabelledBatch]:
        rows = (torch.cat([batch.ids, batch.labels[:, -1:]], dim=1) for batch in self.windows.at(step))
        return [arranged(batch, self.arrangement, self.start_id) for batch in rows]
