"""GLM-4 (GLM Team 2024): rotary pairs of neighbours in half of each head, gate and up in one projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import Family, Fused, class_name, expect, parts, read_rotary
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Attention, FeedForward, Norm, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, hidden_act="silu")
    return TransformerConfig(
        **decoder.read_sizes(keys),
        attention=Attention(
            heads=keys["num_attention_heads"],
            kv_heads=keys.get("num_key_value_heads", 2),
            head_size=keys.get("head_dim", 128),
            bias=keys.get("attention_bias", True),
            output_bias=False,
        ),
        feed_forward=FeedForward(size=keys["intermediate_size"]),
        norm=Norm(epsilon=keys.get("rms_norm_eps", 1.5625e-07)),
        positions=read_rotary(keys, share=0.5, interleaved=True),
        **decoder.read_decoder_ends(keys, tied=False),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "intermediate_size": config.feed_forward.size,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm.epsilon,
        "attention_bias": config.attention.bias,
        "pad_token_id": None,  # transformers' own lies outside a small vocabulary
    }


GLM = Family(
    name="glm",
    architectures=class_name("Glm"),
    read_config=_read,
    write_config=decoder.writer(_write, share=0.5),
    modules=parts.LLAMA,
    fused=(Fused(name="model.layers.{i}.mlp.gate_up_proj", parts=decoder.GATE_AND_UP),),
    base="model",
)
