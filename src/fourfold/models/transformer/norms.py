"""Normalisation layers, computed in fp32 whatever the model's precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.transformer.options import Norm


class RMSNorm(nn.Module):
    """`x / sqrt(mean(x^2) + epsilon) * (offset + weight)` (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, size: int, epsilon: float, offset: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), 1.0 - offset))
        self.epsilon = epsilon
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        if self.offset:
            return (wide * (self.weight.float() + self.offset)).to(x.dtype)
        return self.weight * wide.to(x.dtype)


class LayerNorm(nn.Module):
    """Mean and variance normalisation with weight and bias (Ba et al. 2016)."""

    def __init__(self, size: int, epsilon: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        wide = F.layer_norm(x.float(), self.weight.shape, self.weight.float(), bias, self.epsilon)
        return wide.to(x.dtype)


def make_norm(norm: Norm, size: int) -> nn.Module:
    if norm.kind == "rms":
        return RMSNorm(size, norm.epsilon, norm.offset)
    return LayerNorm(size, norm.epsilon, norm.bias)
