"""Falcon (Almazrouei et al. 2023; Penedo et al. 2023): three shapes under one name.

7B: one key-value head, parallel branches after one norm. 40B and 180B: grouped heads, two norms. RW: ALiBi,
as many key-value heads, serial; transformers rounds its slopes times positions to bfloat16, we do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.interop.keys import class_name, read_activation, write_activation
from fourfold.models.interop.normal import Config
from fourfold.models.interop.rope import read_rotary
from fourfold.models.interop.table import Family, Fused
from fourfold.models.transformer import ALiBi, Attention, FeedForward, Norm, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    heads, grouped = keys["num_attention_heads"], keys.get("new_decoder_architecture", False)
    kv_heads = keys["num_kv_heads"] if grouped else 1 if keys.get("multi_query", True) else None
    two = (keys.get("num_ln_in_parallel_attn") or (2 if grouped else 1)) == 2
    size, bias = keys.get("ffn_hidden_size") or 4 * keys["hidden_size"], keys.get("bias", False)
    activation = read_activation(keys.get("activation") or "gelu")
    return TransformerConfig(
        **decoder.read_sizes(keys),
        attention=Attention(heads=heads, kv_heads=kv_heads, bias=bias),
        feed_forward=FeedForward(size=size, activation=activation, gated=False, bias=bias),
        norm=Norm(kind="layer", epsilon=keys.get("layer_norm_epsilon", 1e-5)),
        positions=ALiBi(scaled=True) if keys.get("alibi") else replace(read_rotary(keys), share=1.0),
        residual=("parallel" if two else "parallel-one-norm") if keys.get("parallel_attn", True) else "serial",
        **decoder.read_decoder_ends(keys, tied=True),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
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


def _norms(config: Config) -> dict[str, str]:
    """Two norms of parallel branches have names of their own."""
    two = isinstance(config, TransformerConfig) and config.residual == "parallel"
    names = ("ln_attn", "ln_mlp") if two else ("input_layernorm", "post_attention_layernorm")
    return decoder.in_layers(IN_LAYERS, dict(zip(("norm_attention", "norm_feed_forward"), names, strict=True)))


IN_LAYERS = "transformer.h.{i}."
LAYER = {
    "attention.output": "self_attention.dense",
    "feed_forward.up": "mlp.dense_h_to_4h",
    "feed_forward.down": "mlp.dense_4h_to_h",
}
FALCON = Family(
    name="falcon",
    architectures=class_name("Falcon"),
    read_config=_read,
    write_config=decoder.writer(_write),
    modules={
        "stack.embedding": "transformer.word_embeddings",
        **decoder.in_layers(IN_LAYERS, LAYER),
        "stack.norm": "transformer.ln_f",
        "head.projection": "lm_head",
        "task.projection": "score",
    },
    modules_by_config=_norms,
    fused=(Fused(name=IN_LAYERS + "self_attention.query_key_value", parts=decoder.ATTENTION, layout="grouped"),),
    base="transformer",
    ignored=(r"\.inv_freq$",),
)
