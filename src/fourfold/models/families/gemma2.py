"""Gemma 2 (Gemma Team 2024b): norms on both sides of each sub-layer, soft caps, windows in every other layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.families.gemma import GEMMA
from fourfold.models.interop import FULL, SLIDING, Config, Family, class_name, read_windows, unless, write_windows
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import TransformerConfig


def read(keys: Mapping[str, Any]) -> TransformerConfig:
    config = GEMMA.read_config(keys)
    assert isinstance(config, TransformerConfig)
    layer_types = [FULL if layer % 2 else SLIDING for layer in range(config.layers)]
    scalar = unless(int(keys.get("query_pre_attn_scalar", 256)), config.head_size)
    attention = replace(
        config.attention,
        windows=read_windows(keys, layer_types),
        softcap=keys.get("attn_logit_softcapping"),
        scale=None if scalar is None else scalar**-0.5,
    )
    head = config.head and replace(config.head, softcap=keys.get("final_logit_softcapping"))
    return replace(config, attention=attention, norm=replace(config.norm, place="sandwich"), head=head)


def write(config: Config) -> dict[str, Any] | None:
    keys = GEMMA.write_config(config)
    if keys is None or not isinstance(config, TransformerConfig):
        return None
    windows, attention = write_windows(config), config.attention
    return windows and {
        **keys,
        **windows,
        "hidden_activation": keys["hidden_act"],
        "attn_logit_softcapping": attention.softcap,
        "final_logit_softcapping": config.head and config.head.softcap,
        "query_pre_attn_scalar": config.head_size if attention.scale is None else round(attention.scale**-2),
    }


LAYER = {
    "norm_attention_output": "post_attention_layernorm",
    "norm_feed_forward": "pre_feedforward_layernorm",
    "norm_feed_forward_output": "post_feedforward_layernorm",
}
GEMMA2 = Family(
    name="gemma2",
    architectures=class_name("Gemma2"),
    read_config=read,
    write_config=write,
    modules={**GEMMA.modules, **decoder.in_layers("model.layers.{i}.", LAYER)},
    base="model",
)
