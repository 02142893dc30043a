"""Gemma (Gemma Team 2024a): GeGLU, heads of a size of their own, norms stored as their distance from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.interop import Family, class_name, expect, parts, read_activation, read_rotary, write_activation
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Attention, Embedding, FeedForward, Norm, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, use_bidirectional_attention=False)
    # The first files say "gelu" of weights that were trained with its approximation.
    activation = keys.get("hidden_activation") or keys.get("hidden_act") or "gelu"
    activation = "gelu_pytorch_tanh" if activation == "gelu" else activation
    return TransformerConfig(
        **decoder.read_sizes(keys),
        attention=Attention(
            heads=keys["num_attention_heads"],
            kv_heads=keys["num_key_value_heads"],
            head_size=keys["head_dim"],
            bias=keys.get("attention_bias", False),
        ),
        feed_forward=FeedForward(size=keys["intermediate_size"], activation=read_activation(activation)),
        norm=Norm(epsilon=keys.get("rms_norm_eps", 1e-6), offset=1.0),
        positions=replace(read_rotary(keys), share=1.0),  # whole heads turn, whatever the file says
        embedding=Embedding(scale=keys["hidden_size"] ** 0.5),
        **decoder.read_decoder_ends(keys, tied=True),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "intermediate_size": config.feed_forward.size,
        "hidden_act": write_activation(config.feed_forward.activation),
        "rms_norm_eps": config.norm.epsilon,
        "attention_bias": config.attention.bias,
    }


GEMMA = Family(
    name="gemma",
    architectures=class_name("Gemma"),
    read_config=_read,
    write_config=decoder.writer(_write),
    modules=parts.LLAMA,
    base="model",
)
