"""Rows of ids through a bidirectional model.

Letters: B rows, T tokens, P places of a row, D hidden size, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fourfold.inference.scoring import TOKENS_AT_ONCE, ragged
from fourfold.models import Step, TransformerLM


class Row(NamedTuple):
    """One sequence as the model reads it."""

    ids: list[int]
    segments: list[int] | None = None


class RowReader:
    """A model with the device it is on and the id that fills up short rows."""

    def __init__(self, module: TransformerLM, device: torch.device, filler: int) -> None:
        self.module, self.device, self.filler = module, device, filler

    def hidden(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        """(B, T, D) hidden states and (B,) lengths."""
        ids, lengths = ragged([row.ids for row in rows], self.device, self.filler)
        segments = None
        if self.module.config.embedding.segments > 1 and any(row.segments for row in rows):
            segments, _ = ragged([row.segments or [0] * len(row.ids) for row in rows], self.device)
        step = Step(ids=ids, lengths=lengths if len(rows) > 1 else None, segments=segments)
        return self.module.hidden(step), lengths

    def log_probs(self, row: Row, places: Sequence[int]) -> Tensor:
        """(P, V) fp32 of these places of one row."""
        hidden, _ = self.hidden([row])
        return self.module.logits(hidden[0, list(places)]).float().log_softmax(-1)

    def without_each(self, row: Row, places: range, mask: int) -> list[float]:
        """The log-probability of the token at each place when it, and it alone, is masked."""
        whole, found = torch.tensor(row.ids, device=self.device), []
        step = max(1, TOKENS_AT_ONCE // len(row.ids))
        for start in range(0, len(places), step):
            at = torch.tensor(places[start : start + step], device=self.device)
            index = torch.arange(len(at), device=self.device)
            ids = whole.repeat(len(at), 1)
            ids[index, at] = mask
            logits = self.module.logits(self.module.hidden(Step(ids=ids))[index, at]).float()
            found += logits.log_softmax(-1)[index, whole[at]].tolist()
        return found
