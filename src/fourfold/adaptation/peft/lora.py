"""LoRA: low-rank deltas beside frozen weights (Hu et al. 2021, "LoRA", section 4.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from fourfold.errors import UserError
from fourfold.models import Linear, LowRankDelta, make_dense


@dataclass(frozen=True, kw_only=True)
class LoRAOptions:
    """Which projections get a delta, and its size."""

    rank: int = 8
    alpha: float = 16.0
    """The delta is scaled by alpha / rank."""
    targets: tuple[str, ...] = ("query", "key", "value", "output", "gate", "up", "down")
    """Last names of the projections."""
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UserError("the rank of a LoRA must be positive", expected="1 or more", got=self.rank)
        if not 0 <= self.dropout < 1:
            raise UserError("dropout is a probability", expected="0 to 1", got=self.dropout)


def add_lora(model: nn.Module, options: LoRAOptions, seed: int = 0) -> list[str]:
    """Freeze the model and append one delta to each target; returns the names of those projections.

    The function of the model does not change yet (B = 0). Adapters that are there already stay,
    frozen and without dropout, so that after SFT the first k deltas are the SFT model: all
    adapters of a model must therefore have the same targets. A starts as in Hugging Face PEFT
    (Kaiming uniform), where the paper says Gaussian.
    """
    projections = {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
    chosen = {name: module for name, module in projections.items() if name.rpartition(".")[2] in options.targets}
    missing = set(options.targets) - {name.rpartition(".")[2] for name in chosen}
    if missing:
        known = sorted({name.rpartition(".")[2] for name in projections})
        raise UserError(f"no projection is named '{min(missing)}'", advice=f"Known: {', '.join(known)}.")
    if len({len(module.deltas) for module in chosen.values()}) > 1 or any(
        len(module.deltas) for name, module in projections.items() if name not in chosen
    ):
        raise UserError("a second adapter must have the targets of the first", got=", ".join(options.targets))
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for module in chosen.values():
        for earlier in module.deltas:
            if isinstance(earlier, LowRankDelta):
                earlier.dropout.p = 0.0
        scale = options.alpha / options.rank
        delta = LowRankDelta(module.in_size, module.out_size, options.rank, scale, options.dropout).float()
        nn.init.kaiming_uniform_(delta.down, a=math.sqrt(5), generator=generator)
        module.deltas.append(delta.to(module.device))
    return list(chosen)


def adapter_count(model: nn.Module) -> int:
    """How many deltas the adapted projections carry."""
    return max((len(module.deltas) for module in model.modules() if isinstance(module, Linear)), default=0)


def merge_lora(model: nn.Module) -> None:
    """Add every delta to its weight, W + scale * B A, and remove it. The whole model is in fp32 afterwards.

    In bf16 most of a small delta would be rounded away.
    """
    make_dense(model).float()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Linear):
                for delta in module.deltas:
                    assert isinstance(delta, LowRankDelta)
                    module.weight.add_(delta.scale * (delta.up @ delta.down))
                module.deltas = nn.ModuleList()


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers train."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
