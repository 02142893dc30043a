"""The largest of many numbers, and a draw by one random number: what every choice of a token comes down to.

Each row is worked on by itself in a fixed order, so its result does not depend on the rows beside it.

Letters: B rows, V vocabulary size, K candidates of a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 128
"""Logits whose largest is found first: a plain search of each row costs ten times as much."""
FEW = 64
"""Up to so many, the largest are looked for in the blocks with the largest maxima only."""


def highest(logits: Tensor) -> Tensor:
    """(B, V) to (B,): the id of the largest logit, the lowest among equals."""
    blocks = _blocks(logits, float("-inf"))  # (B, N, BLOCK)
    block = blocks.amax(-1).argmax(-1)
    inside = blocks[torch.arange(len(blocks), device=logits.device), block].argmax(-1)
    return block * BLOCK + inside


def largest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(B, V) to the k largest logits in falling order and their ids, both (B, K)."""
    size = logits.shape[-1]
    if k > FEW or size <= FEW * BLOCK:
        values, ids = logits.topk(min(k, size))
        return values, ids
    blocks = _blocks(logits, float("-inf"))
    chosen = blocks.amax(-1).topk(k).indices  # (B, k): each of the k largest stands in one of these
    values = blocks.gather(1, chosen[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    ids = (chosen[:, :, None] * BLOCK + torch.arange(BLOCK, device=logits.device)).flatten(1)
    values, places = values.topk(k)
    return values, ids.gather(1, places)


def log_total(logits: Tensor) -> Tensor:
    """(B, V) to (B, 1): ln of the sum of exp. By way of softmax, which never splits a lone row among threads."""
    return logits.amax(-1, keepdim=True) - logits.softmax(-1).amax(-1, keepdim=True).log()


def draw(logits: Tensor, uniform: Sequence[float]) -> Tensor:
    """(B, K) candidates to (B,) places: each drawn by its softmax and one number in [0, 1) a row."""
    weights = (logits - logits.amax(-1, keepdim=True)).exp()
    return _place(weights, torch.tensor(uniform, dtype=torch.float64, device=logits.device))[0]


def draw_weight(weights: Tensor, uniform: float) -> int:
    """A place of (V,) weights, none negative, drawn in proportion to them by a number in [0, 1)."""
    return int(_place(weights[None], torch.tensor([uniform], dtype=torch.float64, device=weights.device))[0])


def draw_from_all(logits: Tensor, uniform: Sequence[float]) -> Tensor:
    """As `draw`, from a whole vocabulary: first a block, then a token of it."""
    blocks = _blocks(logits.softmax(-1), 0.0)
    block, rest = _place(blocks.sum(-1), torch.tensor(uniform, dtype=torch.float64, device=logits.device))
    inside, _ = _place(blocks[torch.arange(len(blocks), device=logits.device), block], rest)
    return block * BLOCK + inside


def _place(weights: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """(B, K) weights to the place where their running sum passes the share `uniform` (B,), and how far into it."""
    sums = weights.cumsum(-1, dtype=torch.float64)
    target = uniform * sums[:, -1]
    # A share that rounds up to the whole still falls on the last token that has any weight.
    place = torch.minimum((sums <= target[:, None]).sum(-1), (sums < sums[:, -1:]).sum(-1))
    weight = weights.gather(1, place[:, None])[:, 0].double()
    into = (target - (sums.gather(1, place[:, None])[:, 0] - weight)) / weight
    return place, into.clamp(0, 1 - 2**-53)


def _blocks(rows: Tensor, filler: float) -> Tensor:
    """(B, V) as (B, N, BLOCK)."""
    missing = -rows.shape[-1] % BLOCK
    rows = pad(rows, (0, missing), value=filler) if missing else rows
    return rows.reshape(len(rows), -1, BLOCK)
