"""A model that reads the rows of one request, and can go back.

Letters: B rows, T tokens read at once, D hidden size, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from fourfold.errors import FourfoldError
from fourfold.inference.engine import Request
from fourfold.models import CausalLM, EncoderDecoder, State, Step, TransformerLM
from fourfold.models.transformer import PAGE, PagedCache


class Seen(NamedTuple):
    """What the model made of the tokens it just read."""

    hidden: Tensor
    """(B, T, D)"""
    logits: Tensor
    """(B, T, V) fp32, or of the last token alone."""


@final
class Reader:
    """One request's state: it starts with the prompt's source, if there is one, and one empty row.

    Decoders keep it in pages, so that rows share what they have in common and packed ones run in one compiled call.
    """

    def __init__(self, model: CausalLM, request: Request, device: torch.device, rows: int = 1, extra: int = 0) -> None:
        """At most so many `rows`; `extra` tokens may stand in the state beyond the answer, to be taken back."""
        self.model, self.device = model, device
        self.room = request.room(model.context)
        capacity = len(request.ids) + self.room + extra
        self._source, self._rows, self._capacity, self._gates = request.source, rows, capacity, request.adapters
        self.state = self._fresh()
        self._whole = len(request.ids) if request.whole else 0
        self._before = 0
        """Tokens known before the last call."""

    @property
    def length(self) -> int:
        return int(self.state.lengths.max())

    def read(self, rows: Sequence[Sequence[int]], *, last: bool = True) -> Seen:
        """Every row reads as many tokens; logits of the `last` one, or of all."""
        self._before = self.length
        ids = torch.tensor([list(row) for row in rows], device=self.device)
        prefix = torch.ones_like(ids, dtype=torch.bool) if self._whole and not self._before else None
        gates = None if self._gates is None else torch.tensor([list(self._gates)] * len(rows), device=self.device)
        hidden = self.model.hidden(Step(ids=ids, prefix=prefix, adapters=gates), self.state)
        return Seen(hidden, self.model.logits(hidden[:, -1:] if last else hidden).float())

    def fork(self, rows: Sequence[int]) -> None:
        """Row i goes on from row `rows[i]`."""
        old = self.state
        self.state = old.fork(torch.tensor(list(rows), device=self.device))
        old.free()

    def go_back(self, ids: Sequence[int]) -> None:
        """Forget what a lone row read after `ids`, which it begins with."""
        if self.length == len(ids):
            return
        try:
            self.state.truncate(torch.tensor([len(ids)], device=self.device))
        except (FourfoldError, ValueError):  # a memory that is no list goes back by whole calls, and reads again
            if len(ids) > self._before:
                self.state.truncate(torch.tensor([self._before], device=self.device))
            else:
                self.state = self._fresh()
            if left := list(ids[self.length :]):
                self.read([left])

    def _fresh(self) -> State:
        if self._source is None and isinstance(self.model, TransformerLM):
            pages = self._rows * (-(-self._capacity // PAGE) + 1)  # one of each row is copied when it forks
            return PagedCache.empty(self.model.stack.new_pages(pages), 1)
        if self._source is None:
            return self.model.new_state(1, self._capacity)
        assert isinstance(self.model, EncoderDecoder)
        return self.model.start(torch.tensor([list(self._source)], device=self.device), None, self._capacity)

    def free(self) -> None:
        self.state.free()
