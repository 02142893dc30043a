"""The same weights at a greater length: rotary positions stretched after training."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from fourfold.errors import UserError
from fourfold.models import TransformerLM, make_module
from fourfold.models.transformer import (
    DynamicNTKScaling,
    LinearScaling,
    NTKScaling,
    Rotary,
    RotaryScaling,
    YaRNScaling,
)


def stretched(module: nn.Module, scaling: str | None, factor: int, trained: int) -> nn.Module:
    """A model of the same weights for rows of `factor * trained` tokens; without a scaling, the model itself."""
    if scaling is None:
        return module
    if not isinstance(module, TransformerLM) or not isinstance(module.config.positions, Rotary):
        raise UserError("only rotary positions can be stretched", got=scaling)
    positions = replace(module.config.positions, scaling=scaling_of(scaling, float(factor), trained))
    other = make_module(
        replace(module.config, positions=positions, context=max(module.config.context, factor * trained))
    )
    other.load_state_dict(module.state_dict())
    return other


def scaling_of(name: str, factor: float, trained: int) -> RotaryScaling:
    """The scaling of that name for positions up to `factor` times the trained length."""
    if name == "linear":
        return LinearScaling(factor=factor)
    if name == "ntk":
        return NTKScaling(factor=factor)
    if name == "dynamic-ntk":
        return DynamicNTKScaling(factor=factor, original_context=trained)
    return YaRNScaling(factor=factor, original_context=trained)
