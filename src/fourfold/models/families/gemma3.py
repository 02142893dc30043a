"""Gemma 3's text models (Gemma Team 2025): query and key norms, five local layers to a global one of another base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.families.gemma2 import GEMMA2
from fourfold.models.interop import FULL, SLIDING, Config, Family, class_name, parts, read_rotary, read_windows
from fourfold.models.transformer import Rotary, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    rope, every = keys.get("rope_parameters") or {}, keys.get("sliding_window_pattern", 6)
    # Files may hold a cap of the scores: transformers does not read it.
    base = {"rope_theta": keys.get("rope_theta", 1_000_000.0), "attn_logit_softcapping": None}
    config = GEMMA2.read_config({**keys, **base, "rope_parameters": rope.get(FULL)})
    assert isinstance(config, TransformerConfig)
    kinds = [SLIDING if (layer + 1) % every else FULL for layer in range(config.layers)]
    local = {"rope_theta": keys.get("rope_local_base_freq", 10_000.0), "rope_scaling": None}
    return replace(
        config,
        attention=replace(config.attention, norm="head", windows=read_windows(keys, kinds)),
        local_positions=read_rotary({**keys, **local, "rope_parameters": rope.get(SLIDING)}),
    )


def _write(config: Config) -> dict[str, Any] | None:
    keys = GEMMA2.write_config(config)
    if keys is None or not isinstance(config, TransformerConfig) or not isinstance(config.positions, Rotary):
        return None
    local = config.local_positions or config.positions
    assert isinstance(local, Rotary)
    rope = {FULL: keys["rope_parameters"], SLIDING: {"rope_type": "default", "rope_theta": local.base}}
    return {**keys, "rope_parameters": rope}


def _architectures(config: Config) -> str:
    name = class_name("Gemma3Text")(config)
    return "Gemma3ForCausalLM" if name == "Gemma3TextForCausalLM" else name


GEMMA3 = Family(
    name="gemma3_text",
    architectures=_architectures,
    read_config=_read,
    write_config=_write,
    modules={**GEMMA2.modules, **parts.LLAMA_QUERY_KEY_NORMS},
    base="model",
)
