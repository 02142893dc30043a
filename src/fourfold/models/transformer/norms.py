"""Normalisation layers, computed in fp32 whatever the model's precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
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
        """(..., size) from (..., size), as all norms."""
        gain = self.weight.float()
        if self.offset:
            gain = gain + self.offset
        if not torch.is_grad_enabled():
            return _normed(x, gain, self.epsilon)[0]
        output: Tensor = _RootMeanSquare.apply(x, gain, self.epsilon)  # type: ignore[no-untyped-call]  # torch's apply has no types
        return output


def _normed(x: Tensor, gain: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The formula, and the factor it scales each row by."""
    wide = x.float()
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    scale = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    return (wide * scale).mul_(gain).to(x.dtype), scale


class _RootMeanSquare(torch.autograd.Function):
    """The formula and its gradient in few passes over memory: half the time of the same left to autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
        output, scale = _normed(x, gain, epsilon)
        ctx.save_for_backward(x, gain, scale)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gain, scale = ctx.saved_tensors
        normed = x.float() * scale
        gradient = gradient.float()
        gain_gradient = (gradient * normed).flatten(0, -2).sum(0)
        gradient = gradient * gain
        along = torch.linalg.vecdot(gradient, normed).unsqueeze(-1) / x.shape[-1]
        return gradient.addcmul_(normed, along, value=-1).mul_(scale).to(x.dtype), gain_gradient, None


class LayerNorm(nn.Module):
    """Mean and variance normalisation with weight and bias (Ba et al. 2016); torch sums in fp32 in any precision."""

    def __init__(self, size: int, epsilon: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        return F.layer_norm(x.to(weight.dtype), weight.shape, weight, self.bias, self.epsilon).to(x.dtype)


def make_norm(norm: Norm, size: int) -> nn.Module:
    """The layer that `norm` describes, over the last dimension of that size."""
    if norm.kind == "rms":
        return RMSNorm(size, norm.epsilon, norm.offset)
    return LayerNorm(size, norm.epsilon, norm.bias)
