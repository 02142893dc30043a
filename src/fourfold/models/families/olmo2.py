"""OLMo 2 (OLMo Team 2025): norms on the outputs of the sub-layers, and over all queries and keys together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.families.llama import LLAMA
from fourfold.models.interop import Family, class_name, parts
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Norm, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    config = LLAMA.read_config({"rms_norm_eps": 1e-5, **keys, "mlp_bias": False})
    assert isinstance(config, TransformerConfig)
    return replace(
        config,
        attention=replace(config.attention, norm="full"),
        norm=Norm(place="output", epsilon=config.norm.epsilon),
    )


NORMS = {"norm_attention": "post_attention_layernorm", "norm_feed_forward": "post_feedforward_layernorm"}
OLMO2 = Family(
    name="olmo2",
    architectures=class_name("Olmo2"),
    read_config=_read,
    write_config=LLAMA.write_config,
    modules={**parts.LLAMA, **parts.LLAMA_QUERY_KEY_NORMS, **decoder.in_layers("model.layers.{i}.", NORMS)},
    base="model",
)
