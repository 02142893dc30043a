"""Llama 1 to 3 (Touvron et al. 2023; Dubey et al. 2024), and what shares its architecture: SmolLM2 among it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.families import parts
from fourfold.models.families.keys import class_name, expect, read_ends, write_task
from fourfold.models.families.normal import Config, unless
from fourfold.models.families.rope import read_context, read_rotary, write_rotary
from fourfold.models.families.table import Family
from fourfold.models.transformer import Attention, FeedForward, Head, Norm, Task, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, hidden_act="silu")
    heads, tied = keys["num_attention_heads"], keys.get("tie_word_embeddings", False)
    return TransformerConfig(
        vocabulary_size=keys["vocab_size"],
        hidden_size=keys["hidden_size"],
        layers=keys["num_hidden_layers"],
        context=read_context(keys, 2048),
        attention=Attention(
            heads=heads,
            kv_heads=unless(keys.get("num_key_value_heads"), heads),
            head_size=unless(keys.get("head_dim"), keys["hidden_size"] // max(heads, 1)),
            bias=keys.get("attention_bias", False),
        ),
        feed_forward=FeedForward(size=keys["intermediate_size"], bias=keys.get("mlp_bias", False)),
        norm=Norm(epsilon=keys.get("rms_norm_eps", 1e-6)),
        positions=read_rotary(keys),
        **read_ends(keys, Head(tied=tied), Task(kind="sequence", classes=2, bias=False), Task(kind="token", classes=2)),
    )


def _write(config: Config) -> dict[str, Any] | None:
    rotary = write_rotary(config) if isinstance(config, TransformerConfig) else None
    if rotary is None or not isinstance(config, TransformerConfig):
        return None
    return {
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.feed_forward.size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.attention.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm.epsilon,
        "attention_bias": config.attention.bias,
        "mlp_bias": config.feed_forward.bias,
        "tie_word_embeddings": config.tied_embeddings,
        **rotary,
        **write_task(config),
    }


LLAMA = Family(
    name="llama",
    architectures=class_name("Llama"),
    read_config=_read,
    write_config=_write,
    modules=parts.LLAMA,
    base="model",
    ignored=(r"\.rotary_emb\.inv_freq$",),
    gguf_modules=parts.GGUF_LLAMA,
    gguf_interleaved=("attention.query", "attention.key"),
)
