"""What each token may look at, read off the masks that attention itself is given.

Letters: T tokens, S source tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fourfold.models.protocols import Step
from fourfold.models.transformer import Mask, Packed, Sight, look


def visible(
    kind: Mask,
    tokens: int,
    *,
    window: int | None = None,
    prefix: int = 0,
    documents: tuple[int, ...] = (),
) -> Tensor:
    """(T, T) True where the token of the row looks at the token of the column.

    `prefix` tokens at the start are seen by all; `documents` are the lengths of texts packed into the row.
    """
    numbers = torch.repeat_interleave(torch.arange(len(documents)), torch.tensor(documents)) if documents else None
    step = Step(
        ids=torch.zeros(1, tokens, dtype=torch.int64),
        prefix=(torch.arange(tokens) < prefix)[None] if prefix else None,
        documents=None if numbers is None else numbers[None],
    )
    sight = look(kind, step, None, window, None, False)
    if isinstance(sight, Sight):
        return _dense(sight, tokens)
    return _packed(sight, tokens)


def visible_across(source: int, target: int) -> Tensor:
    """(S + T, S + T) of an encoder-decoder, the source first: its tokens see each other, those of the target see it
    all and their own past."""
    seen = torch.zeros(source + target, source + target, dtype=torch.bool)
    seen[:source, :source] = visible("bidirectional", source)
    seen[source:, source:] = visible("causal", target)
    seen[source:, :source] = True  # a source without padding is given to cross-attention without a mask
    return seen


def _dense(sight: Sight, tokens: int) -> Tensor:
    if sight.mask is not None:
        return sight.mask[0, 0].expand(tokens, tokens)
    whole = torch.ones(tokens, tokens, dtype=torch.bool)
    return whole.tril() if sight.causal else whole


def _packed(packed: Packed, tokens: int) -> Tensor:
    seen = torch.zeros(tokens, tokens, dtype=torch.bool)
    for document in packed.documents:
        _, start, end = document
        seen[start:end, start:end] = _dense(packed.sight(document), end - start)
    return seen
