"""The numbers a training step computes with, and why these."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Compute in `autocast` where it is given, else in the type the weights are stored in."""

    name: str
    reason: str
    autocast: torch.dtype | None = None

    def context(self, device: torch.device) -> AbstractContextManager[object]:
        """Wraps forward passes; the casts of weights are not cached.

        A cast that was cached under `no_grad` has no gradient, and objectives mix both kinds of pass.
        """
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.autocast, cache_enabled=False)

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


FLOAT32 = Precision(name="fp32", reason="full precision")


def choose_precision(device: torch.device | str = "cpu", model: nn.Module | None = None) -> Precision:
    """bf16 where the processor computes it natively, else fp32.

    Weights that are stored in bf16 (a frozen base) are used as they are; what trains on top of
    them stays in fp32. Otherwise the weights stay in fp32 and products are cast (autocast).
    """
    device = torch.device(device)
    if model is not None and any(parameter.dtype == torch.bfloat16 for parameter in model.parameters()):
        return Precision(name="bf16", reason="the weights are stored in bf16")
    support = _bf16_support(device)
    if support is None:
        return Precision(name="fp32", reason=f"this {device.type} has no fast bf16")
    return Precision(name="bf16", reason=support, autocast=torch.bfloat16)


def _bf16_support(device: torch.device) -> str | None:
    if device.type == "cuda":
        return "the GPU computes bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if device.type != "cpu":
        return None
    if torch.cpu._is_amx_tile_supported():
        return "the processor has AMX tiles"
    return "the processor has AVX-512 BF16" if torch.cpu._is_avx512_bf16_supported() else None
