"""What a token may look at: causal, prefix, bidirectional, windows, padding, packed documents, in one place.

Letters: B rows, T queries, S keys, H heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from fourfold.models.protocols import Step
from fourfold.models.transformer.options import Mask

Bias = Callable[[Tensor], Tensor]
"""(..., T, S) distances to (..., H, T, S) position bias."""


class Sight(NamedTuple):
    """What the queries of one call see, in the form the attention kernel wants."""

    mask: Tensor | None = None
    """(B or 1, H or 1, T, S): True where a query may look, or numbers to add; None: see `causal`."""
    causal: bool = False
    """Without a mask: the past only, or everything. The last query sees the last key."""
    first: int = 0
    """Keys before this one are seen by no query and may be left out; the mask begins there."""


class Document(NamedTuple):
    """A stretch of one row of a packed batch."""

    row: int
    start: int
    end: int


@dataclass(frozen=True)
class Packed:
    """Rows of several documents: attention runs document by document, and no dense mask is made."""

    documents: list[Document]
    kind: Mask
    window: int | None
    bias: Bias | None
    device: torch.device
    prefix: Tensor | None = None
    """(B, T) True where a token belongs to the prefix of its document."""
    _sights: dict[Document | int, Sight] = field(default_factory=dict)

    def sight(self, document: Document) -> Sight:
        """Within a document: the same for all of one length, unless they have prefixes of their own."""
        row, start, end = document
        key = document if self.prefix is not None else end - start
        if key not in self._sights:
            starts = torch.zeros(1, dtype=torch.int64, device=self.device)
            seen = None if self.prefix is None else _prefix(self.prefix[row : row + 1, start:end])
            self._sights[key] = _sight(self.kind, end - start, starts, self.window, self.bias, None, seen)
        return self._sights[key]


def look(
    kind: Mask, step: Step, starts: Tensor | None, window: int | None, bias: Bias | None, padded: bool
) -> Sight | Packed:
    """What the queries of `step` see; `starts` (B,) counts the cached tokens before them (None: no cache).

    `padded`: the lengths matter, because queries look ahead.
    """
    length, device = step.ids.shape[1], step.ids.device
    if step.documents is not None:
        return Packed(documents_of(step.documents), kind, window, bias, device, step.prefix)
    if starts is None:
        starts = torch.zeros(1, dtype=torch.int64, device=device)
    lengths = step.lengths if padded else None
    if step.prefix is not None and int(starts.max()):
        raise ValueError("a prefix is read whole, before the state holds anything")
    seen = None if step.prefix is None else _prefix(step.prefix)
    return _sight(kind, length, starts, window, bias, lengths, seen)


def documents_of(numbers: Tensor) -> list[Document]:
    """The stretches of equal document numbers, row by row."""
    found = []
    for row, values in enumerate(numbers.tolist()):
        start = 0
        for place in range(1, len(values) + 1):
            if place == len(values) or values[place] != values[start]:
                found.append(Document(row, start, place))
                start = place
    return found


# budget: seven parameters that are one question, asked in two places
def _sight(
    kind: Mask,
    length: int,
    starts: Tensor,
    window: int | None,
    bias: Bias | None,
    lengths: Tensor | None,
    seen: Tensor | None,
) -> Sight:
    longest, shortest = int(starts.max()), int(starts.min())
    keys = longest + length
    narrow = window is not None and keys > window
    alone = length == 1 and longest == shortest
    first = keys - window if window is not None and narrow and alone else 0
    mask = seen
    if mask is None and not alone and (narrow or (kind != "bidirectional" and longest > shortest)):
        mask = _allowed(kind, length, starts, window)
    if lengths is not None:
        real = (torch.arange(keys, device=starts.device) < lengths[:, None])[:, None, None]  # (B, 1, 1, S)
        mask = real if mask is None else mask & real
    causal = kind != "bidirectional" and not alone
    if bias is None:
        return Sight(mask, causal and mask is None, first)
    added = bias(_distance(length, starts)[..., first:])
    if mask is None and causal:
        mask = _allowed(kind, length, starts, window)
    return Sight(added if mask is None else added.masked_fill(~mask, -torch.inf), False, first)


def _distance(length: int, starts: Tensor) -> Tensor:
    """(B or 1, T, S) key position minus query position; a cache holds position p at place p."""
    if int(starts.max()) == int(starts.min()):
        starts = starts[:1]
    keys = torch.arange(int(starts.max()) + length, device=starts.device)
    queries = starts[:, None] + torch.arange(length, device=starts.device)
    return keys - queries[:, :, None]


def _allowed(kind: Mask, length: int, starts: Tensor, window: int | None) -> Tensor:
    """(B or 1, 1, T, S) True where the kind and the window let a query look."""
    distance = _distance(length, starts)
    allowed = torch.ones_like(distance, dtype=torch.bool) if kind == "bidirectional" else distance <= 0
    if window is not None:
        allowed = allowed & (distance > -window)
        if kind == "bidirectional":
            allowed = allowed & (distance < window)
    return allowed[:, None]


def _prefix(prefix: Tensor) -> Tensor:
    """(B, 1, T, T) the past, and every token of the prefix; `prefix` (B, T) says which these are."""
    nothing = torch.zeros(1, dtype=torch.int64, device=prefix.device)
    return _allowed("causal", prefix.shape[1], nothing, None) | prefix[:, None, None]
