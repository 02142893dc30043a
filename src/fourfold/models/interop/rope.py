"""Rotary positions in `config.json`: `rope_parameters` (new), or `rope_theta` with `rope_scaling` (old)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fourfold.errors import unknown_name
from fourfold.models.transformer import (
    DynamicNTKScaling,
    LinearScaling,
    Llama3Scaling,
    Rotary,
    RotaryScaling,
    TransformerConfig,
    YaRNScaling,
)

LENGTH, ORIGINAL = "max_position_embeddings", "original_max_position_embeddings"
KINDS = ("default", "linear", "dynamic", "yarn", "llama3")


def read_rotary(
    keys: Mapping[str, Any], base: float = 10_000.0, share: float = 1.0, interleaved: bool = False
) -> Rotary:
    """Rotary positions of a whole configuration; the other arguments are the family's usual values."""
    new = keys.get("rope_parameters") or {}
    old = {"rope_theta": keys.get("rope_theta", keys.get("rotary_emb_base", base))}
    part = keys.get("partial_rotary_factor", keys.get("rotary_pct"))
    old |= {} if part is None else {"partial_rotary_factor": part}
    parameters = {**old, **(new or keys.get("rope_scaling") or {})}
    return Rotary(
        base=float(parameters["rope_theta"]),
        share=float(parameters.get("partial_rotary_factor", share)),
        interleaved=interleaved,
        scaling=read_scaling(parameters, keys),
    )


def read_scaling(parameters: Mapping[str, Any], keys: Mapping[str, Any]) -> RotaryScaling | None:
    """The scaling in one set of rotary parameters; `keys` know the model's length."""
    kind = parameters.get("rope_type", parameters.get("type")) or "default"
    if kind not in KINDS:
        raise unknown_name("scaling of rotary positions", kind, KINDS)
    if kind == "default":
        return None
    factor = float(parameters["factor"])
    if kind == "linear":
        return LinearScaling(factor=factor)
    if kind == "dynamic":
        return DynamicNTKScaling(factor=factor, original_context=keys[LENGTH])
    original = keys.get(ORIGINAL) or parameters.get(ORIGINAL) or keys[LENGTH]
    if kind == "llama3":
        return Llama3Scaling(
            factor=factor,
            original_context=original,
            low_frequency_factor=parameters["low_freq_factor"],
            high_frequency_factor=parameters["high_freq_factor"],
        )
    return YaRNScaling(
        factor=factor,
        original_context=original,
        beta_fast=float(parameters.get("beta_fast") or 32.0),
        beta_slow=float(parameters.get("beta_slow") or 1.0),
        attention_factor=_attention_factor(parameters),
        truncate=bool(parameters.get("truncate", True)),
    )


def _attention_factor(parameters: Mapping[str, Any]) -> float | None:
    """As given, or of the two factors that DeepSeek's files give instead."""
    above, below = parameters.get("mscale"), parameters.get("mscale_all_dim")
    if parameters.get("attention_factor") is not None or not (above and below):
        return parameters.get("attention_factor")
    growth = 0.1 * math.log(max(parameters["factor"], 1.0))
    return float((growth * above + 1.0) / (growth * below + 1.0))


def read_context(keys: Mapping[str, Any], usual: int) -> int:
    """The longest text: dynamic scaling counts from the length before it."""
    length = keys.get(LENGTH, usual)
    parameters = keys.get("rope_parameters") or keys.get("rope_scaling") or {}
    dynamic = parameters.get("rope_type", parameters.get("type")) == "dynamic"
    return int(length * parameters["factor"]) if dynamic else length


def write_rotary(config: TransformerConfig) -> dict[str, Any] | None:
    """Length and `rope_parameters`; None when the positions are not rotary, or files have no name for their scaling."""
    positions = config.positions
    if not isinstance(positions, Rotary):
        return None
    scaling = write_scaling(positions.scaling)
    if scaling is None:
        return None
    parameters = {**scaling, "rope_theta": positions.base}
    if positions.share != 1.0:
        parameters["partial_rotary_factor"] = positions.share
    length = positions.scaling.original_context if isinstance(positions.scaling, DynamicNTKScaling) else config.context
    return {LENGTH: length, "rope_parameters": parameters}


def write_scaling(scaling: RotaryScaling | None) -> dict[str, Any] | None:
    """The inverse of `read_scaling`; None for what files have no name for."""
    match scaling:
        case None:
            return {"rope_type": "default"}
        case LinearScaling():
            return {"rope_type": "linear", "factor": scaling.factor}
        case DynamicNTKScaling():
            return {"rope_type": "dynamic", "factor": scaling.factor}
        case Llama3Scaling():
            return {
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_frequency_factor,
                "high_freq_factor": scaling.high_frequency_factor,
                ORIGINAL: scaling.original_context,
            }
        case YaRNScaling():
            attention = {} if scaling.attention_factor is None else {"attention_factor": scaling.attention_factor}
            return {
                "rope_type": "yarn",
                "factor": scaling.factor,
                "beta_fast": scaling.beta_fast,
                "beta_slow": scaling.beta_slow,
                "truncate": scaling.truncate,
                ORIGINAL: scaling.original_context,
                **attention,
            }
        case _:
            return None
