"""GGUF's blocks as packed matrices, without unpacking them: the same codes, laid out for our kernels.

Scales of Q4_K, Q5_K and Q6_K are products of two numbers, here rounded to fp16: off by 1 in 2048 at most. The other
types keep every bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from fourfold.kernels import LowBit, pack
from fourfold.models.files.gguf_blocks import (
    Q4_0,
    Q4_1,
    Q4_K,
    Q5_0,
    Q5_K,
    Q6_K,
    Q8_0,
    block_format,
    five_bits_0,
    five_bits_k,
    halves,
    neighbours,
    nibbles,
    scales_and_leasts,
    six_bits,
)
from fourfold.models.packed import LargePages

LANES = 16
VALUES_AT_ONCE = 1 << 20
"""Packed together: what is on the way takes a few bytes a value."""


class Codes(NamedTuple):
    """Of N blocks: (N, values) codes, (N, groups) scales and leasts."""

    codes: Tensor
    scales: Tensor
    leasts: Tensor | None = None


def pack_rows(raw: Tensor, kind: int, columns: int, pages: LargePages | None = None) -> LowBit | None:
    """A matrix from (R, bytes) blocks of one of the types in `PACKED`; None if a scale is no fp16 number.

    It lies in `pages`, where its parts are put as they are made.
    """
    rows, pages = raw.shape[0], pages or LargePages()
    step = max(VALUES_AT_ONCE // columns // LANES, 1) * LANES
    whole: LowBit | None = None
    for start in range(0, rows, step):
        part = _part(raw[start : start + step].contiguous(), kind, columns)
        if not all(bool(scales.isfinite().all()) for scales in (part.scales, part.leasts) if scales is not None):
            return None
        if whole is None:
            leasts = None if part.leasts is None else _room(part.leasts, rows, pages)
            codes, scales = _room(part.codes, rows, pages), _room(part.scales, rows, pages)
            whole = part._replace(rows=rows, codes=codes, scales=scales, leasts=leasts)
        for name, numbers in _tiled(part):
            getattr(whole, name)[start // LANES :][: len(numbers)] = numbers
    return whole


def _tiled(part: LowBit) -> list[tuple[str, Tensor]]:
    """What a part has of each tile of rows."""
    found = {"codes": part.codes, "scales": part.scales, "leasts": part.leasts}
    return [(name, numbers) for name, numbers in found.items() if numbers is not None]


def _room(part: Tensor, rows: int, pages: LargePages) -> Tensor:
    return pages.empty((-(-rows // LANES), *part.shape[1:]), part.dtype)


def _part(raw: Tensor, kind: int, columns: int) -> LowBit:
    rows = raw.shape[0]
    codes, scales, leasts = PACKED[kind](raw.view(-1, block_format(kind).bytes))
    by_row = None if leasts is None else leasts.reshape(rows, -1)
    scales = scales.reshape(rows, -1)
    return pack(codes.reshape(rows, columns), scales, by_row, group=columns // scales.shape[1])


def _q4_0(blocks: Tensor) -> Codes:
    scales = halves(blocks[:, :2])
    return Codes(nibbles(blocks[:, 2:]), scales, -8 * scales)


def _q4_1(blocks: Tensor) -> Codes:
    return Codes(nibbles(blocks[:, 4:]), halves(blocks[:, :2]), halves(blocks[:, 2:4]))


def _q5_0(blocks: Tensor) -> Codes:
    return Codes(five_bits_0(blocks).to(torch.int8) - 16, halves(blocks[:, :2]))


def _q8_0(blocks: Tensor) -> Codes:
    return Codes(blocks[:, 2:].view(torch.int8), halves(blocks[:, :2]))


def _q4_k(blocks: Tensor) -> Codes:
    scales, leasts = scales_and_leasts(blocks)
    return Codes(neighbours(blocks[:, 16:].contiguous()), scales, -leasts)


def _q5_k(blocks: Tensor) -> Codes:
    scales, leasts = scales_and_leasts(blocks)
    return Codes(five_bits_k(blocks).to(torch.int8), scales, -leasts)


def _q6_k(blocks: Tensor) -> Codes:
    codes, scales = six_bits(blocks)
    return Codes(codes.to(torch.int8) - 32, scales)


PACKED: dict[int, Callable[[Tensor], Codes]] = {
    Q4_0: _q4_0,
    Q4_1: _q4_1,
    Q5_0: _q5_0,
    Q8_0: _q8_0,
    Q4_K: _q4_k,
    Q5_K: _q5_k,
    Q6_K: _q6_k,
}
"""The types that stay packed."""
