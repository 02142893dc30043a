"""Llama (Touvron et al. 2023) and what shares its architecture, SmolLM2 among it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.errors import UserError
from fourfold.models.families.keys import read_rotary, unless
from fourfold.models.families.table import Family
from fourfold.models.transformer import Attention, FeedForward, Norm, Rotary, TransformerConfig

LAYER = "stack.layers.{i}."


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    heads = keys["num_attention_heads"]
    if keys.get("hidden_act", "silu") != "silu":
        raise UserError("this activation is not a Llama's", expected="silu", got=keys["hidden_act"])
    return TransformerConfig(
        vocabulary_size=keys["vocab_size"],
        hidden_size=keys["hidden_size"],
        layers=keys["num_hidden_layers"],
        context=keys.get("max_position_embeddings", 2048),
        attention=Attention(
            heads=heads,
            kv_heads=unless(keys.get("num_key_value_heads"), heads),
            head_size=unless(keys.get("head_dim"), keys["hidden_size"] // max(heads, 1)),
            bias=keys.get("attention_bias", False),
        ),
        feed_forward=FeedForward(size=keys["intermediate_size"], bias=keys.get("mlp_bias", False)),
        norm=Norm(kind="rms", epsilon=keys.get("rms_norm_eps", 1e-6)),
        positions=read_rotary(keys),
        tied_embeddings=keys.get("tie_word_embeddings", False),
    )


def _write(config: TransformerConfig) -> dict[str, Any] | None:
    forward = config.feed_forward
    gated_silu = forward.gated and forward.activation == "silu"
    if not (isinstance(config.positions, Rotary) and gated_silu and config.norm.kind == "rms"):
        return None
    return {
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": forward.size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.attention.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm.epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.positions.base},
        "attention_bias": config.attention.bias,
        "mlp_bias": forward.bias,
        "tie_word_embeddings": config.tied_embeddings,
    }


LLAMA = Family(
    name="llama",
    architecture="LlamaForCausalLM",
    modules={
        "stack.embedding": "model.embed_tokens",
        LAYER + "norm_attention": "model.layers.{i}.input_layernorm",
        LAYER + "attention.query": "model.layers.{i}.self_attn.q_proj",
        LAYER + "attention.key": "model.layers.{i}.self_attn.k_proj",
        LAYER + "attention.value": "model.layers.{i}.self_attn.v_proj",
        LAYER + "attention.output": "model.layers.{i}.self_attn.o_proj",
        LAYER + "norm_feed_forward": "model.layers.{i}.post_attention_layernorm",
        LAYER + "feed_forward.gate": "model.layers.{i}.mlp.gate_proj",
        LAYER + "feed_forward.up": "model.layers.{i}.mlp.up_proj",
        LAYER + "feed_forward.down": "model.layers.{i}.mlp.down_proj",
        "stack.norm": "model.norm",
        "head": "lm_head",
    },
    gguf_modules={
        "stack.embedding": "token_embd",
        LAYER + "norm_attention": "blk.{i}.attn_norm",
        LAYER + "attention.query": "blk.{i}.attn_q",
        LAYER + "attention.key": "blk.{i}.attn_k",
        LAYER + "attention.value": "blk.{i}.attn_v",
        LAYER + "attention.output": "blk.{i}.attn_output",
        LAYER + "norm_feed_forward": "blk.{i}.ffn_norm",
        LAYER + "feed_forward.gate": "blk.{i}.ffn_gate",
        LAYER + "feed_forward.up": "blk.{i}.ffn_up",
        LAYER + "feed_forward.down": "blk.{i}.ffn_down",
        "stack.norm": "output_norm",
        "head": "output",
    },
    gguf_interleaved=("attention.query", "attention.key"),
    read_config=_read,
    write_config=_write,
    ignored=(r"\.rotary_emb\.inv_freq$",),
)
