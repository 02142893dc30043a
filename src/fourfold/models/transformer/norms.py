"""Normalisation layers, computed in fp32 whatever the model's precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.transformer.config import Norm


class RMSNorm(nn.Module):
    """`x / sqrt(mean(x^2) + epsilon) * weight` (Zhang & Sennrich 2019, eq. 4)."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight * wide.to(x.dtype)


class LayerNorm(nn.Module):
    """Mean and variance normalisation with weight and bias (Ba et al. 2016)."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = F.layer_norm(x.float(), self.weight.shape, self.weight.float(), self.bias.float(), self.epsilon)
        return wide.to(x.dtype)


def make_norm(norm: Norm, size: int) -> nn.Module:
    return RMSNorm(size, norm.epsilon) if norm.kind == "rms" else LayerNorm(size, norm.epsilon)
