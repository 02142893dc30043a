"""Position encodings as hooks the stack calls: `embed` on entry, `rotate` on queries and keys.

A scheme overrides the hook it needs; the others do nothing.
Letters: B rows, T tokens, H heads, P head size, D hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fourfold.models.transformer.config import Positions, Rotary, TransformerConfig


class Rotation(NamedTuple):
    """Cosines and sines of the angles, (B, 1, T, P/2) each."""

    cosine: Tensor
    sine: Tensor


class PositionEncoding(nn.Module):
    """No encoding: the hooks of every scheme."""

    def embed(self, x: Tensor, positions: Tensor) -> Tensor:
        """(B, T, D) embeddings on entry."""
        return x

    def rotation(self, positions: Tensor, dtype: torch.dtype) -> Rotation | None:
        """What `rotate` needs, computed once a call for all layers."""
        return None


class RotaryEncoding(PositionEncoding):
    """Rotates pairs (i, i + P/2) by position * base^(-2i/P); angles are computed in fp32."""

    def __init__(self, head_size: int, base: float) -> None:
        super().__init__()
        self.head_size = head_size
        self.base = base

    def rotation(self, positions: Tensor, dtype: torch.dtype) -> Rotation:
        exponents = torch.arange(0, self.head_size, 2, dtype=torch.int64, device=positions.device).float()
        frequencies = 1.0 / (self.base ** (exponents / self.head_size))
        angles = positions[:, None, :, None].float() * frequencies  # (B, 1, T, P/2)
        return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))


class LearnedEncoding(PositionEncoding):
    """A table of one vector a position."""

    def __init__(self, context: int, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(context, size))

    def embed(self, x: Tensor, positions: Tensor) -> Tensor:
        return x + self.weight[positions]


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """(B, H, T, P) queries or keys turned by their positions."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = rotation
    return torch.cat(
        (
            torch.addcmul(first * cosine, second, sine, value=-1),
            torch.addcmul(second * cosine, first, sine),
        ),
        dim=-1,
    )


def make_positions(positions: Positions, config: TransformerConfig) -> PositionEncoding:
    if isinstance(positions, Rotary):
        return RotaryEncoding(config.head_size, positions.base)
    return LearnedEncoding(config.context, config.hidden_size)
