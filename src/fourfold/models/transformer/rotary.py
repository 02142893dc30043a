"""Rotary positions: the frequencies under every scaling, and the rotation itself.

Letters: B rows, T tokens, H heads, P head size, R the part of a head that turns.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from fourfold.models.transformer.options import (
    DynamicNTKScaling,
    LinearScaling,
    Llama3Scaling,
    NTKScaling,
    Rotary,
    YaRNScaling,
)


class Rotation(NamedTuple):
    """Cosines and sines of the angles, (B, 1, T, R/2) each."""

    cosine: Tensor
    sine: Tensor
    interleaved: bool = False


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """(B, H, T, P) queries or keys, their first R values turned by their positions."""
    cosine, sine, interleaved = rotation
    half, still = cosine.shape[-1], x.shape[-1] - 2 * cosine.shape[-1]
    # One split: its gradient is one concatenation, where each slice would fill a tensor with zeros.
    sizes = ((2 * half,) if interleaved else (half, half)) + ((still,) if still else ())
    parts = x.split_with_sizes(sizes, dim=-1)
    first, second = (parts[0][..., 0::2], parts[0][..., 1::2]) if interleaved else parts[:2]
    turned = [
        torch.addcmul(first * cosine, second, sine, value=-1),
        torch.addcmul(second * cosine, first, sine),
    ]
    if interleaved:
        turned = [torch.stack(turned, dim=-1).flatten(-2)]
    return torch.cat([*turned, parts[-1]] if still else turned, dim=-1)


@lru_cache(maxsize=64)
def frequencies(rotary: Rotary, size: int, longest: int, device: torch.device) -> tuple[Tensor, float]:
    """(R/2,) angles a position in fp32, and the factor of cosines and sines; `longest` is the length at hand.

    Remembered, so the tensor may be used in training whatever mode it was first wanted in.
    """
    with torch.inference_mode(False):
        return _frequencies(rotary, size, longest, device)


def _frequencies(rotary: Rotary, size: int, longest: int, device: torch.device) -> tuple[Tensor, float]:
    scaling = rotary.scaling
    base = rotary.base
    if isinstance(scaling, NTKScaling):
        base = _stretched(base, scaling.factor, size)
    elif isinstance(scaling, DynamicNTKScaling) and longest > scaling.original_context:
        grown = scaling.factor * longest / scaling.original_context - (scaling.factor - 1)
        base = _stretched(base, grown, size)
    plain = _plain(base, size, device)
    if isinstance(scaling, LinearScaling):
        return plain / scaling.factor, 1.0
    if isinstance(scaling, YaRNScaling):
        return _yarn(plain, rotary.base, size, scaling)
    if isinstance(scaling, Llama3Scaling):
        return _llama3(plain, scaling), 1.0
    return plain, 1.0


def _plain(base: float, size: int, device: torch.device) -> Tensor:
    exponents = torch.arange(0, size, 2, dtype=torch.int64, device=device).float()
    return 1.0 / (base ** (exponents / size))


def _stretched(base: float, factor: float, size: int) -> float:
    """The base under which the slowest pair turns `factor` times slower and the fastest as before."""
    return base * factor ** (size / (size - 2)) if size > 2 else base * factor


def _yarn(plain: Tensor, base: float, size: int, scaling: YaRNScaling) -> tuple[Tensor, float]:
    """Peng et al. 2023, eq. 17-21: pairs that turn more than `beta_fast` times in the original context stay,
    those that turn less than `beta_slow` times are interpolated, a ramp over the pairs between."""

    def pair_turning(turns: float) -> float:
        return size * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = pair_turning(scaling.beta_fast), pair_turning(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    pairs = torch.arange(size // 2, dtype=torch.float32, device=plain.device)
    interpolated = ((pairs - low) / max(high - low, 0.001)).clamp(0, 1)
    attention = scaling.attention_factor
    if attention is None:
        attention = 0.1 * math.log(scaling.factor) + 1.0 if scaling.factor > 1 else 1.0
    return plain / scaling.factor * interpolated + plain * (1 - interpolated), attention


def _llama3(plain: Tensor, scaling: Llama3Scaling) -> Tensor:
    turns = scaling.original_context * plain / (2 * math.pi)  # in the original context
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return plain / scaling.factor * (1 - kept) + plain * kept
