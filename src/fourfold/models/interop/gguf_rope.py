"""Rotary positions in GGUF: a base and a named scaling in the header, Llama 3's scaling as a tensor of factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.models.interop.gguf_section import Section
from fourfold.models.transformer import (
    DynamicNTKScaling,
    LinearScaling,
    Llama3Scaling,
    NTKScaling,
    Rotary,
    RotaryScaling,
    TransformerConfig,
    YaRNScaling,
    frequencies,
)

FACTORS = "rope_freqs.weight"
"""The tensor of (R/2,) divisors of the frequencies, R the part of a head that turns."""

CLOSE = 1e-4
CPU = torch.device("cpu")


def read_rope(keys: Section, factors: Tensor | None, head_size: int) -> Rotary:
    """The positions a file states; `factors` is its tensor of that name."""
    base = keys.find("rope.freq_base", float) or 10_000.0
    size = keys.find("rope.dimension_count", int) or head_size
    kind = keys.find("rope.scaling.type", str) or "none"
    scaling: RotaryScaling | None = None
    if factors is not None:
        scaling = _llama3(base, size, factors, keys)
    elif kind == "linear":
        factor = keys.need("rope.scaling.factor", float)
        scaling = None if factor == 1.0 else LinearScaling(factor=factor)
    elif kind == "yarn":
        scaling = _read_yarn(keys)
    elif kind != "none":
        known = "none, linear or yarn"
        raise UserError("this scaling of rotary positions is not supported", where=keys.where, expected=known, got=kind)
    return Rotary(base=base, share=size / head_size, scaling=scaling)


def _read_yarn(keys: Section) -> YaRNScaling:
    factor = keys.need("rope.scaling.factor", float)
    temperature = keys.find("rope.scaling.attn_factor", float)
    if keys.find("rope.scaling.yarn_log_multiplier", float):
        raise UserError("YaRN with a multiplier of its logarithm is not supported", where=keys.where)
    return YaRNScaling(
        factor=factor,
        original_context=keys.need("rope.scaling.original_context_length", int),
        beta_fast=keys.find("rope.scaling.yarn_beta_fast", float) or 32.0,
        beta_slow=keys.find("rope.scaling.yarn_beta_slow", float) or 1.0,
        attention_factor=None if temperature in (None, 1.0) else temperature * _yarn_temperature(factor),
    )


def _yarn_temperature(factor: float) -> float:
    """What llama.cpp multiplies the file's factor with."""
    return 0.1 * math.log(factor) + 1.0


def write_rope(config: TransformerConfig) -> dict[str, Any] | None:
    """The keys of the header; none for learned positions, None for what they cannot say."""
    positions = config.positions
    if not isinstance(positions, Rotary):
        return {}
    scaling = positions.scaling
    base = positions.base
    if isinstance(scaling, NTKScaling) and config.rotary_size > 2:  # nothing but another base
        base *= scaling.factor ** (config.rotary_size / (config.rotary_size - 2))
    keys = {"rope.dimension_count": config.rotary_size, "rope.freq_base": float(base)}
    if isinstance(scaling, LinearScaling):
        return keys | {"rope.scaling.type": "linear", "rope.scaling.factor": float(scaling.factor)}
    if isinstance(scaling, YaRNScaling):
        return keys | _write_yarn(scaling)
    return None if isinstance(scaling, DynamicNTKScaling) else keys


def _write_yarn(scaling: YaRNScaling) -> dict[str, Any]:
    keys = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": float(scaling.factor),
        "rope.scaling.original_context_length": scaling.original_context,
        "rope.scaling.yarn_beta_fast": float(scaling.beta_fast),
        "rope.scaling.yarn_beta_slow": float(scaling.beta_slow),
    }
    if scaling.attention_factor is None:
        return keys
    return keys | {"rope.scaling.attn_factor": scaling.attention_factor / _yarn_temperature(scaling.factor)}


def rope_factors(config: TransformerConfig) -> Tensor | None:
    """The tensor of factors, where the scaling is stored so."""
    positions = config.positions
    if not isinstance(positions, Rotary) or not isinstance(positions.scaling, Llama3Scaling):
        return None
    plain = Rotary(base=positions.base)
    return turning(plain, config.rotary_size)[0] / turning(positions, config.rotary_size)[0]


def turning(rotary: Rotary, size: int) -> tuple[Tensor, float]:
    """Angles a position and the factor of attention: what two spellings of the same positions share."""
    return frequencies(rotary, size, 0, CPU)


def _llama3(base: float, size: int, factors: Tensor, keys: Section) -> Llama3Scaling | None:
    """The scaling that gives these factors. Only the ratios of its two bounds and the original context count, so
    the lower bound is taken for one, as it is in every model so far."""
    if factors.shape != (size // 2,) or not bool((factors >= 1 - CLOSE).all()):
        told = f"{size // 2} factors of at least 1"
        raise UserError(
            f"{FACTORS} is not Llama 3's scaling", where=keys.where, expected=told, got=tuple(factors.shape)
        )
    if bool((factors <= 1 + CLOSE).all()):
        return None
    plain = turning(Rotary(base=base), size)[0]
    for scaling in _candidates(plain, factors):
        found = plain / turning(Rotary(base=base, scaling=scaling), size)[0]
        if torch.allclose(found, factors.float(), rtol=CLOSE):
            return scaling
    raise UserError(f"{FACTORS} is not Llama 3's scaling", where=keys.where, advice="Use the model's folder instead.")


def _candidates(plain: Tensor, factors: Tensor) -> Iterator[Llama3Scaling]:
    """What the ramp between kept and divided frequencies solves for, else the usual bounds and powers of two."""
    factor = round(factors.max().item(), 4)
    for length in (8192, *(2**power for power in range(4, 21))):
        yield Llama3Scaling(factor=factor, original_context=length)
    kept = (1 / factors.double() - 1 / factor) / (1 - 1 / factor)
    ramp = (kept > CLOSE) & (kept < 1 - CLOSE)
    if int(ramp.sum()) < 2:
        return
    # kept = (original context * frequency / 2 pi - low) / (high - low): a line in the frequency.
    turns, share = plain.double()[ramp] / (2 * math.pi), kept[ramp]
    slope = ((share[0] - share[-1]) / (turns[0] - turns[-1])).item()
    width = 1 / (slope * turns[0].item() - share[0].item())  # high - low, for a low of one
    yield Llama3Scaling(
        factor=factor,
        original_context=max(round(slope * width), 1),
        high_frequency_factor=round(1 + width, 3),
    )
