"""Numbers packed into GGUF's blocks: rounding and the search for each block's scale.

Q8_0, Q5_0 and Q4_0 are bit-equal to ggml's reference. Q4_K has a search of its own, see `_fit`; its error is
within a few per cent of llama.cpp's. Letters: N blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from fourfold.models.files.gguf_blocks import BF16, CHUNK, F16, F32, Q4_0, Q4_K, Q5_0, Q8_0

SAVED = {"f32": F32, "f16": F16, "bf16": BF16, "q8_0": Q8_0, "q4_0": Q4_0, "q4_k": Q4_K}
"""The types a file can be saved as, by the name a user gives."""

SUB_BLOCKS, SUB_VALUES, LEVELS = 8, 32, 15
"""Of a Q4_K block: eight sub-blocks of 32 values, each value one of 0 to 15 steps above the sub-block's least."""

MOST_SCALE = 63
"""Scales and least values have six bits."""

MOST_HALF = torch.finfo(torch.float16).max

STRETCHES = (-0.9, -0.4, 0.0, 0.5)
"""Ranges tried for a sub-block, in steps more or less than the 15 between its extremes."""


def quantize(values: Tensor, kind: int) -> Tensor:
    """Pack values of any floating type as (bytes,) uint8, in one of the types above."""
    return torch.cat(list(quantized_parts(values, kind)) or [torch.empty(0, dtype=torch.uint8)])


def quantized_parts(values: Tensor, kind: int) -> Iterator[Tensor]:
    """The bytes of `quantize` in small parts: memory for a whole packed tensor is never taken."""
    for part in torch.split(values.detach().reshape(-1), CHUNK):
        yield _PACK[kind](part.to("cpu", torch.float32).contiguous())


def _halves(scales: Tensor) -> Tensor:
    """(N, K) scales to (N, 2K) bytes of fp16."""
    return scales.to(torch.float16).contiguous().view(torch.uint8)


def _pack_q8_0(values: Tensor) -> Tensor:
    blocks = values.view(-1, 32)
    scale = blocks.abs().amax(dim=1, keepdim=True) / 127
    scaled = blocks * torch.where(scale == 0, 0, 1 / scale)
    # ggml rounds halves away from zero, torch to even.
    whole = (torch.sign(scaled) * torch.floor(scaled.abs() + 0.5)).to(torch.int8)
    return torch.cat([_halves(scale), whole.view(torch.uint8)], dim=1).reshape(-1)


def _around_zero(values: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """Scales (N, 1) and codes (N, 32) from 0 to 2 half - 1: the value furthest from zero becomes code 0 exactly."""
    blocks = values.view(-1, 32)
    furthest = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True))
    scale = furthest / -half
    # One rounding for product and sum, as a processor's fused instruction gives it: hence the wider type.
    scaled = blocks.double() * torch.where(scale == 0, 0, 1 / scale).double() + (half + 0.5)
    return scale, scaled.trunc_().clamp_(0, 2 * half - 1).to(torch.uint8)


def _nibbles(codes: Tensor) -> Tensor:
    """(N, 2K) codes below 16 to (N, K) bytes: the first half in the low bits, the second in the high bits."""
    low, high = codes.chunk(2, dim=1)
    return low | high << 4


def _pack_q4_0(values: Tensor) -> Tensor:
    scale, codes = _around_zero(values, 8)
    return torch.cat([_halves(scale), _nibbles(codes)], dim=1).reshape(-1)


def _pack_q5_0(values: Tensor) -> Tensor:
    scale, codes = _around_zero(values, 16)
    powers = 1 << torch.arange(8)
    fifth_bits = ((codes >> 4).view(-1, 4, 8) * powers).sum(dim=2).to(torch.uint8)
    return torch.cat([_halves(scale), fifth_bits, _nibbles(codes & 15)], dim=1).reshape(-1)


def _pack_q4_k(values: Tensor) -> Tensor:
    """Blocks of 256: (scale of scales, scale of least values), six-bit scales and least values, four-bit codes."""
    blocks = values.view(-1, SUB_BLOCKS, SUB_VALUES)
    # Large values matter more to a product; the mean square keeps small ones from being ignored.
    importance = blocks.abs() + blocks.square().mean(dim=2, keepdim=True).sqrt()
    scales, leasts = _fit(blocks.reshape(-1, SUB_VALUES), importance.reshape(-1, SUB_VALUES))
    scale_unit, scale_codes = _six_bits(scales.view(-1, SUB_BLOCKS))
    least_unit, least_codes = _six_bits(leasts.view(-1, SUB_BLOCKS))
    step, least = (unit * codes for unit, codes in ((scale_unit, scale_codes), (least_unit, least_codes)))
    codes = ((blocks + least[..., None]) * _inverse(step)[..., None]).round_().clamp_(0, LEVELS).to(torch.uint8)
    low, high = codes[:, 0::2], codes[:, 1::2]  # (N, 4, 32): neighbouring sub-blocks share bytes
    parts = [_halves(scale_unit), _halves(least_unit), _twelve_bytes(scale_codes, least_codes)]
    return torch.cat([*parts, (low | high << 4).flatten(1)], dim=1).reshape(-1)


def _fit(values: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and least value (N, 1) of each row of 32, such that value = scale * code - least, least >= 0.

    For given codes the best pair solves two linear equations (weighted least squares); for a given pair the best
    codes are the nearest. The two are alternated from several ranges, and the pair of least error is kept.
    """
    lowest = values.amin(dim=1, keepdim=True).clamp_(max=0)
    spread = (values.amax(dim=1, keepdim=True) - lowest).clamp_(min=torch.finfo(torch.float32).tiny)
    weighted = importance * values
    total, mean = importance.sum(dim=1, keepdim=True), weighted.sum(dim=1, keepdim=True)
    found: tuple[Tensor, Tensor, Tensor] | None = None
    for stretch in STRETCHES:
        step, least = spread / (LEVELS + stretch), lowest
        for _ in range(2):
            codes = ((values - least) / step).round_().clamp_(0, LEVELS)
            counted = importance * codes
            first, second = counted.sum(dim=1, keepdim=True), (counted * codes).sum(dim=1, keepdim=True)
            product = (weighted * codes).sum(dim=1, keepdim=True)
            determinant = total * second - first * first
            solvable = determinant > 0
            step = torch.where(solvable, (total * product - mean * first) / determinant, step)
            least = torch.where(solvable, (second * mean - first * product) / determinant, least)
            # The format subtracts a least value and cannot add one: then zero is best, with a scale to fit.
            step, least = torch.where(least > 0, product / second, step), least.clamp(max=0)
            step = step.clamp(min=torch.finfo(torch.float32).tiny)
        # Weighted square error less that of all zeros, written out in the sums at hand.
        error = step * step * second + 2 * step * least * first + least * least * total
        error = error - 2 * step * product - 2 * least * mean
        tried = (error, step, least)
        found = tried if found is None else _better(tried, found)
    assert found is not None
    return found[1], -found[2]


def _better(new: tuple[Tensor, Tensor, Tensor], old: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Row by row the one of less error, which comes first."""
    better = new[0] < old[0]
    error, step, least = (torch.where(better, a, b) for a, b in zip(new, old, strict=True))
    return error, step, least


def _six_bits(values: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 8) values of at least 0 as a unit (N, 1), rounded to fp16, and whole multiples (N, 8) up to 63."""
    unit = (values.amax(dim=1, keepdim=True) / MOST_SCALE).clamp(max=MOST_HALF).to(torch.float16).float()
    return unit, (values * _inverse(unit)).round_().clamp_(0, MOST_SCALE)


def _inverse(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1 / values, 0)


def _twelve_bytes(scales: Tensor, leasts: Tensor) -> Tensor:
    """Sixteen six-bit numbers in twelve bytes: (N, 12).

    Bytes 0-3 and 4-7 hold the first four scales and least values; the other eight have their low four bits in
    bytes 8-11 and their high two on top of the first eight bytes.
    """
    scale, least = scales.to(torch.uint8), leasts.to(torch.uint8)
    return torch.cat(
        [
            scale[:, :4] | scale[:, 4:] >> 4 << 6,
            least[:, :4] | least[:, 4:] >> 4 << 6,
            scale[:, 4:] & 15 | (least[:, 4:] & 15) << 4,
        ],
        dim=1,
    )


_PACK: dict[int, Callable[[Tensor], Tensor]] = {
    F32: lambda values: values.view(torch.uint8),
    F16: lambda values: values.to(torch.float16).view(torch.uint8),
    BF16: lambda values: values.to(torch.bfloat16).view(torch.uint8),
    Q8_0: _pack_q8_0,
    Q5_0: _pack_q5_0,
    Q4_0: _pack_q4_0,
    Q4_K: _pack_q4_k,
}
