"""The gradient noise scale: how large a batch still pays (McCandlish et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fourfold.training.objectives import Objective
from fourfold.training.precision import FLOAT32, Precision


def noise_scale(small: Sequence[float], large: float, small_size: float, large_size: float) -> float | None:
    """B_simple = tr(S) / |G|^2 from squared gradient norms at two batch sizes (appendix A.1, equations A.2 and A.3).

    `small` are squared norms of gradients of `small_size` examples, `large` that of `large_size`. None where noise
    makes an estimate negative, as it does when too few are taken.
    """
    mean_small = sum(small) / len(small)
    signal = (large_size * large - small_size * mean_small) / (large_size - small_size)
    noise = (mean_small - large) / (1 / small_size - 1 / large_size)
    return noise / signal if signal > 0 and noise > 0 else None


def gradient_noise_scale(
    model: nn.Module, objective: Objective, batches: Sequence[Any], *, precision: Precision = FLOAT32
) -> float | None:
    """The noise scale in tokens, from at least two batches of about one size; gradients are cleared afterwards."""
    if len(batches) < 2:
        raise ValueError(f"the noise scale needs two batches or more, got {len(batches)}")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = parameters[0].device
    squares, total = [], [torch.zeros_like(parameter) for parameter in parameters]
    counts = []
    for batch in batches:
        moved = batch.to(device)
        model.zero_grad(set_to_none=True)
        with precision.context(device):
            sums = objective(model, moved)
            count = objective.counts(moved)
            loss = sum(weight * sums[name] / count[name] for name, weight in objective.weights.items() if count[name])
        assert isinstance(loss, torch.Tensor)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        squares.append(float(nn.utils.get_total_norm(gradients)) ** 2)
        torch._foreach_add_(total, gradients, alpha=1 / len(batches))
        counts.append(batch.tokens)
    model.zero_grad(set_to_none=True)
    size = sum(counts) / len(counts)
    return noise_scale(squares, float(nn.utils.get_total_norm(total)) ** 2, size, size * len(batches))
