"""Llama 1 to 3 (Touvron et al. 2023; Dubey et al. 2024), and what shares its architecture: SmolLM2 among it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.errors import UserError
from fourfold.models.interop import Family, class_name, expect, parts, read_ends, read_rotary, unless
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Attention, FeedForward, Head, Norm, Task, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, hidden_act="silu")
    rotary = read_rotary(keys)
    if rotary.share != 1.0:
        raise UserError("Llama turns its heads whole", expected="partial_rotary_factor 1", got=rotary.share)
    heads, tied = keys["num_attention_heads"], keys.get("tie_word_embeddings", False)
    return TransformerConfig(
        **decoder.read_sizes(keys),
        attention=Attention(
            heads=heads,
            kv_heads=unless(keys.get("num_key_value_heads"), heads),
            head_size=unless(keys.get("head_dim"), keys["hidden_size"] // max(heads, 1)),
            bias=keys.get("attention_bias", False),
        ),
        feed_forward=FeedForward(size=keys["intermediate_size"], bias=keys.get("mlp_bias", False)),
        norm=Norm(epsilon=keys.get("rms_norm_eps", 1e-6)),
        positions=rotary,
        **read_ends(keys, Head(tied=tied), Task(kind="sequence", classes=2, bias=False), Task(kind="token", classes=2)),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "intermediate_size": config.feed_forward.size,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm.epsilon,
        "attention_bias": config.attention.bias,
        "mlp_bias": config.feed_forward.bias,
    }


LLAMA = Family(
    name="llama",
    architectures=class_name("Llama"),
    read_config=_read,
    write_config=decoder.writer(_write),
    modules=parts.LLAMA,
    base="model",
    ignored=(r"\.rotary_emb\.inv_freq$",),
)
