"""BLOOM (BigScience 2022): ALiBi, and a norm after the embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.families.falcon import FALCON
from fourfold.models.interop import Family, Fused, class_name, expect
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import ALiBi, Attention, Embedding, Norm, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, apply_residual_connection_post_layernorm=False)
    width = decoder.first_of(keys, "hidden_size", "n_embed")
    return TransformerConfig(
        vocabulary_size=keys["vocab_size"],
        hidden_size=width,
        layers=decoder.first_of(keys, "n_layer", "num_hidden_layers"),
        context=keys.get("seq_length", 2048),
        attention=Attention(heads=decoder.first_of(keys, "n_head", "num_attention_heads"), bias=True),
        feed_forward=decoder.plain_feed_forward(4 * width, "gelu_new"),
        norm=Norm(kind="layer", epsilon=keys.get("layer_norm_epsilon", 1e-5)),
        positions=ALiBi(),
        embedding=Embedding(norm=True),
        **decoder.read_decoder_ends(keys, tied=True),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "n_layer": config.layers,
        "n_head": config.attention.heads,
        "seq_length": config.context,
        "layer_norm_epsilon": config.norm.epsilon,
    }


IN_LAYERS = "transformer.h.{i}."
BLOOM = Family(
    name="bloom",
    architectures=class_name("Bloom"),
    read_config=_read,
    write_config=decoder.writer(_write),
    modules={
        **FALCON.modules,  # transformers took its names over from BLOOM
        "stack.embedding_norm": "transformer.word_embeddings_layernorm",
    },
    fused=(Fused(name=IN_LAYERS + "self_attention.query_key_value", parts=decoder.ATTENTION, layout="per-head"),),
    base="transformer",
)
