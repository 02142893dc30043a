"""Position encodings as three hooks of the stack: `embed` on entry, `rotation` of queries and keys, `bias` of scores.

A scheme overrides the one it needs; the others do nothing.
Letters: B rows, T tokens, S keys, H heads, D hidden size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.options import (
    ALiBi,
    DynamicNTKScaling,
    Learned,
    Positions,
    Relative,
    Rotary,
    Sinusoidal,
)
from fourfold.models.transformer.rotary import Rotation, frequencies


class PositionEncoding(nn.Module):
    """No encoding: the hooks of every scheme."""

    biased = False
    """Whether `bias` has something to add; where not, it need not be asked."""

    def embed(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, T, D) embeddings on entry."""
        return x

    def rotation(self, positions: Tensor, dtype: torch.dtype) -> Rotation | None:
        """What `rotate` needs, computed once a call for all layers."""
        return None

    def bias(self, distance: Tensor, dtype: torch.dtype) -> Tensor:
        """(..., H or 1, T, S) added to the scores; `distance` (..., T, S) is key position minus query position."""
        return torch.zeros_like(distance, dtype=dtype)[..., None, :, :]


class RotaryEncoding(PositionEncoding):
    """Rotates pairs by position times frequency; angles are computed in fp32."""

    def __init__(self, rotary: Rotary, head_size: int) -> None:
        super().__init__()
        self.rotary = rotary
        self.size = int(head_size * rotary.share)

    def rotation(self, positions: Tensor, dtype: torch.dtype) -> Rotation:
        dynamic = isinstance(self.rotary.scaling, DynamicNTKScaling)
        longest = int(positions.max()) + 1 if dynamic else 0
        angle, factor = frequencies(self.rotary, self.size, longest, positions.device)
        angles = positions[:, None, :, None].float() * angle  # (B, 1, T, R/2)
        cosine, sine = angles.cos(), angles.sin()
        if factor != 1.0:
            cosine, sine = cosine * factor, sine * factor
        return Rotation(cosine.to(dtype), sine.to(dtype), self.rotary.interleaved)


class LearnedEncoding(PositionEncoding):
    """A table of one vector a position."""

    def __init__(self, context: int, size: int, offset: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(context + offset, size))
        self.offset = offset

    def embed(self, x: Tensor, positions: Tensor) -> Tensor:
        return x + F.embedding(positions + self.offset, self.weight)


class SinusoidalEncoding(PositionEncoding):
    """Sines in the even values, cosines in the odd ones, wavelengths from 2 pi to 10000 * 2 pi."""

    def embed(self, x: Tensor, positions: Tensor) -> Tensor:
        steps = torch.arange(0, x.shape[-1], 2, device=x.device, dtype=torch.float32)
        angles = positions[..., None].float() * torch.exp(steps * (-math.log(10_000.0) / x.shape[-1]))
        return x + torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2).to(x.dtype)


class RelativeEncoding(PositionEncoding):
    """Buckets of distances: one each up to half of them, then logarithmic up to `max_distance` (T5's code and
    Raffel et al. 2020, section 2.1). An encoder has a half of the buckets for each direction."""

    biased = True

    def __init__(self, relative: Relative, heads: int, both_ways: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(relative.buckets, heads))
        self.relative = relative
        self.both_ways = both_ways

    def bias(self, distance: Tensor, dtype: torch.dtype) -> Tensor:
        return F.embedding(self.buckets(distance), self.weight).movedim(-1, -3).to(dtype)

    def buckets(self, distance: Tensor) -> Tensor:
        """The bucket of each distance."""
        count = self.relative.buckets // 2 if self.both_ways else self.relative.buckets
        far = distance.abs() if self.both_ways else (-distance).clamp(min=0)
        exact = count // 2
        ratio = far.clamp(min=1).float().div(exact).log() / math.log(self.relative.max_distance / exact)
        logarithmic = exact + (ratio * (count - exact)).long()
        bucket = torch.where(far < exact, far, logarithmic.clamp(max=count - 1))
        return bucket + count * (distance > 0) if self.both_ways else bucket


class ALiBiEncoding(PositionEncoding):
    """A penalty of slope times distance; head h of H has slope 2^(-8 h / H) (Press et al. 2022, section 3).

    For head counts that are no power of two: the slopes of the power below, then every other one of the power above.
    """

    biased = True

    def __init__(self, heads: int, factor: float) -> None:
        super().__init__()
        self.slopes = alibi_slopes(heads)
        self.factor = factor

    def bias(self, distance: Tensor, dtype: torch.dtype) -> Tensor:
        slopes = torch.tensor(self.slopes, device=distance.device) * self.factor
        return (-distance.abs()[..., None, :, :].float() * slopes[:, None, None]).to(dtype)


def alibi_slopes(heads: int) -> list[float]:
    """One slope a head."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (head + 1) / power) for head in range(power)]
    finer = [2.0 ** (-4.0 * (head + 1) / power) for head in range(0, 2 * power, 2)]
    return slopes + finer[: heads - power]


def make_positions(positions: Positions, config: TransformerConfig) -> PositionEncoding:
    """The hooks of the scheme that `positions` describes."""
    width = config.embedding_size if config.embedding.norm else config.hidden_size
    match positions:
        case Rotary():
            return RotaryEncoding(positions, config.head_size)
        case Learned():
            return LearnedEncoding(config.context, width, positions.offset)
        case Sinusoidal():
            return SinusoidalEncoding()
        case Relative():
            return RelativeEncoding(positions, config.attention.heads, both_ways=config.mask == "bidirectional")
        case ALiBi():
            factor = config.head_size**-0.5 if positions.scaled else 1.0
            return ALiBiEncoding(config.attention.heads, factor)
        case _:
            return PositionEncoding()
