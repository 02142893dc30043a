"""Phi-1 to Phi-2 (Gunasekar et al. 2023; Li et al. 2023): parallel branches after one norm, biases everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import Family, class_name, parts, read_activation, read_rotary, unless, write_activation
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Attention, FeedForward, Norm, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    heads, normed = keys["num_attention_heads"], keys.get("qk_layernorm", False)
    kv_heads = unless(keys.get("num_key_value_heads"), heads)
    activation = read_activation(keys.get("hidden_act", "gelu_new"))
    return TransformerConfig(
        **decoder.read_sizes(keys),
        attention=Attention(heads=heads, kv_heads=kv_heads, bias=True, norm="head" if normed else None),
        feed_forward=FeedForward(size=keys["intermediate_size"], activation=activation, gated=False, bias=True),
        norm=Norm(kind="layer", epsilon=keys.get("layer_norm_eps", 1e-5)),
        positions=read_rotary(keys, share=0.5),
        residual="parallel-one-norm",
        **decoder.read_decoder_ends(keys, tied=False, bias=True),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.feed_forward.size,
        "hidden_act": write_activation(config.feed_forward.activation, tanh="gelu_new"),
        "layer_norm_eps": config.norm.epsilon,
        "qk_layernorm": config.attention.norm == "head",
    }


LAYER = {
    "norm_attention": "input_layernorm",
    "attention.output": "self_attn.dense",
    "attention.norm_query": "self_attn.q_layernorm",
    "attention.norm_key": "self_attn.k_layernorm",
    "feed_forward.up": "mlp.fc1",
    "feed_forward.down": "mlp.fc2",
}
ENDS = {"stack.norm": "model.final_layernorm", "head.bias": "lm_head.bias"}
PHI = Family(
    name="phi",
    architectures=class_name("Phi"),
    read_config=_read,
    write_config=decoder.writer(_write, share=0.5),
    modules={**parts.LLAMA_ENDS, **parts.LLAMA_ATTENTION, **decoder.in_layers("model.layers.{i}.", LAYER), **ENDS},
    base="model",
    ignored=(r"\.rotary_emb\.inv_freq$",),
)
