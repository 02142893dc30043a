"""How values become codes: from a weight alone.

A method is a function of one weight; what it needs of data (GPTQ, AWQ) is its own affair, told by `inputs`.
Letters: R rows (outputs), C columns (inputs), G groups of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fourfold.errors import UserError, unknown_name
from fourfold.kernels import LowBit, pack

BITS = (4, 8)
GROUPS = (32, 64, 128)
BLOCK = 32


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """What becomes of the weights."""

    method: str = "absmax"
    bits: int = 8
    group: int | None = None
    """Values of a row that share a scale; None: a row in 8 bits (per channel), 64 values in 4 bits."""
    zero_point: bool = False
    """4 bits: the smallest value of a group is code 0, not minus the largest magnitude."""
    head_bits: int = 8
    """Of the table of token vectors and the head, in groups of 32: they suffer most."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("quantization method", self.method, METHODS)
        for name, bits in (("bits", self.bits), ("head bits", self.head_bits)):
            if bits not in BITS:
                raise UserError(f"{name} of a quantized weight", expected="4 or 8", got=bits)
        if self.group is not None and self.group not in GROUPS:
            raise UserError("group of a quantized weight", expected="32, 64 or 128", got=self.group)
        if self.zero_point and (self.bits == 8 or self.method != "absmax"):
            raise UserError("a zero point is for method absmax in 4 bits", got=f"{self.method}, {self.bits} bits")
        if self.method == "nf4" and self.bits != 4:
            raise UserError("NF4 has 4 bits", got=self.bits, advice="Add --bits 4.")


Method = Callable[[Tensor, QuantizeOptions, Tensor | None], LowBit]
"""(R, C) fp32 weight, the options, and (N, C) inputs of the layer where a method asks for them."""


def absmax(weight: Tensor, options: QuantizeOptions, inputs: Tensor | None = None) -> LowBit:
    """code = round(w / scale), scale = max |w| / (2^(bits-1) - 1) of a group (Dettmers et al. 2022, section 2.1).

    With a zero point (there: zeropoint quantization) w = scale * code + min, scale = (max - min) / 15.
    """
    group = options.group or (64 if options.bits == 4 else whole_row(weight))
    values = grouped(weight, group)
    if options.bits == 8:
        scales = halves(values.abs().amax(dim=2) / 127)
        codes = steps(values, scales).clamp_(-127, 127).to(torch.int8)
        return packed(codes, scales, weight, group)
    if options.zero_point:
        leasts = halves(values.amin(dim=2))
        scales = halves((values.amax(dim=2) - leasts) / 15)
        codes = steps(values - leasts[..., None], scales).clamp_(0, 15)
    else:
        scales = halves(values.abs().amax(dim=2) / 7)
        codes = steps(values, scales).clamp_(-7, 7).add_(8)
        leasts = -8 * scales
    return packed(codes.to(torch.uint8), scales, weight, group, leasts=leasts)


NORMAL_LEVELS = (
    *(-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0),
    *(0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0),
)


def normal_float(weight: Tensor, options: QuantizeOptions, inputs: Tensor | None = None) -> LowBit:
    """NF4: the nearest of 16 quantiles of a normal distribution, times max |w| (Dettmers et al. 2023, section 3).

    Departure: the levels are rounded to 1/127, as the kernels multiply whole numbers; no scale of scales.
    """
    group = options.group or 64
    values = grouped(weight, group)
    levels = (torch.tensor(NORMAL_LEVELS) * 127).round()
    scales = halves(values.abs().amax(dim=2) / 127)
    borders = (levels[1:] + levels[:-1]) / 2
    exact = values * inverse(scales)[..., None]
    codes = torch.bucketize(exact, borders).to(torch.uint8)
    return packed(codes, scales, weight, group, levels=levels.to(torch.int8))


METHODS: dict[str, Method] = {"absmax": absmax, "nf4": normal_float}
"""Calibrated methods take their place here."""


def whole_row(weight: Tensor) -> int:
    return -(-weight.shape[1] // BLOCK) * BLOCK


def grouped(weight: Tensor, group: int) -> Tensor:
    """(R, G, group), zeros after the last column."""
    return F.pad(weight, (0, -weight.shape[1] % group)).view(len(weight), -1, group)


def halves(numbers: Tensor) -> Tensor:
    """As they will be stored."""
    return numbers.half().float()


def inverse(scales: Tensor) -> Tensor:
    return torch.where(scales > 0, 1 / scales, 0)


def steps(values: Tensor, scales: Tensor) -> Tensor:
    """(R, G, group) values in whole steps of their scale."""
    return (values * inverse(scales)[..., None]).round_()


def packed(
    codes: Tensor,
    scales: Tensor,
    weight: Tensor,
    group: int,
    leasts: Tensor | None = None,
    levels: Tensor | None = None,
) -> LowBit:
    columns = weight.shape[1]
    count = -(-whole_row(weight) // group)
    shared = None if leasts is None else leasts[:, :count]
    return pack(codes.flatten(1)[:, :columns], scales[:, :count], shared, levels, group)
