"""Keys of Falcon's `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.interop.decoder_keys import plain_feed_forward, read_decoder_ends, read_sizes
from fourfold.models.interop.keys import write_activation
from fourfold.models.interop.rope import read_rotary
from fourfold.models.transformer import ALiBi, Attention, Norm, TransformerConfig


def read_falcon(keys: Mapping[str, Any]) -> TransformerConfig:
    """The configuration in Falcon's keys: which of the three shapes, and its sizes."""
    heads, grouped = keys["num_attention_heads"], keys.get("new_decoder_architecture", False)
    kv_heads = keys["num_kv_heads"] if grouped else 1 if keys.get("multi_query", True) else None
    two = (keys.get("num_ln_in_parallel_attn") or (2 if grouped else 1)) == 2
    size, bias = keys.get("ffn_hidden_size") or 4 * keys["hidden_size"], keys.get("bias", False)
    return TransformerConfig(
        **read_sizes(keys),
        attention=Attention(heads=heads, kv_heads=kv_heads, bias=bias),
        feed_forward=plain_feed_forward(size, keys.get("activation") or "gelu", bias),
        norm=Norm(kind="layer", epsilon=keys.get("layer_norm_epsilon", 1e-5)),
        positions=ALiBi(scaled=True) if keys.get("alibi") else replace(read_rotary(keys), share=1.0),
        residual=("parallel" if two else "parallel-one-norm") if keys.get("parallel_attn", True) else "serial",
        **read_decoder_ends(keys, tied=True),
    )


def write_falcon(config: TransformerConfig) -> dict[str, Any]:
    """The inverse of `read_falcon`, for `decoder_keys.writer`."""
    two, heads = config.residual == "parallel", config.attention.heads
    grouped = two or config.kv_heads not in (1, heads)
    return {
        "alibi": isinstance(config.positions, ALiBi),
        "num_kv_heads": config.kv_heads if grouped else heads,
        "multi_query": grouped or config.kv_heads == 1,
        "new_decoder_architecture": grouped,
        "num_ln_in_parallel_attn": 1 + two if grouped else None,
        "parallel_attn": config.residual != "serial",
        "bias": config.attention.bias,
        "ffn_hidden_size": config.feed_forward.size,
        "activation": write_activation(config.feed_forward.activation),
        "layer_norm_epsilon": config.norm.epsilon,
    }
