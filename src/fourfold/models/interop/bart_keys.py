"""Keys of BART's `config.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from fourfold.models.interop.keys import expect, read_activation, write_activation
from fourfold.models.interop.normal import Config
from fourfold.models.transformer import (
    Attention,
    Embedding,
    EncoderDecoderConfig,
    FeedForward,
    Head,
    Learned,
    Norm,
    TransformerConfig,
)

USUAL = {"normalize_before": False, "add_final_layer_norm": False, "normalize_embedding": True,
         "static_position_embeddings": False, "extra_pos_embeddings": 2, "tie_word_embeddings": True}  # fmt: skip
OFFSET = 2


def read_bart(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    """The configuration in BART's keys; encoder and decoder differ in layers, heads and feed-forward."""
    expect(keys, **USUAL)
    size = keys["d_model"]

    def stack(side: str, **more: Any) -> TransformerConfig:
        activation = read_activation(keys.get("activation_function", "gelu"))
        return TransformerConfig(
            vocabulary_size=keys["vocab_size"],
            hidden_size=size,
            layers=keys[f"{side}_layers"],
            context=keys["max_position_embeddings"],
            attention=Attention(heads=keys[f"{side}_attention_heads"], bias=True),
            feed_forward=FeedForward(size=keys[f"{side}_ffn_dim"], activation=activation, gated=False, bias=True),
            norm=Norm(kind="layer", place="post"),
            positions=Learned(offset=OFFSET),
            embedding=Embedding(norm=True, scale=math.sqrt(size) if keys.get("scale_embedding") else 1.0),
            dropout=keys.get("dropout", 0.1),
            **more,
        )

    return EncoderDecoderConfig(
        encoder=stack("encoder", mask="bidirectional", head=None),
        decoder=stack("decoder", cross_attention=True, head=Head(bias=keys.get("final_logits_bias", True))),
        decoder_start_id=keys.get("decoder_start_token_id", 2),
        empty_source=(keys.get("bos_token_id", 0), keys.get("eos_token_id", 2)),
    )


def write_bart(config: Config) -> dict[str, Any] | None:
    """The inverse of `read_bart`."""
    if not isinstance(config, EncoderDecoderConfig) or len(config.empty_source) != 2:
        return None
    sides = {"encoder": config.encoder, "decoder": config.decoder}
    head = config.decoder.head
    return {
        "is_encoder_decoder": True,
        "vocab_size": config.vocabulary_size,
        "d_model": config.hidden_size,
        **{f"{side}_layers": stack.layers for side, stack in sides.items()},
        **{f"{side}_attention_heads": stack.attention.heads for side, stack in sides.items()},
        **{f"{side}_ffn_dim": stack.feed_forward.size for side, stack in sides.items()},
        "activation_function": write_activation(config.decoder.feed_forward.activation, tanh="gelu_new"),
        "max_position_embeddings": config.context,
        "scale_embedding": config.encoder.embedding.scale != 1.0,
        "dropout": config.decoder.dropout,
        "tie_word_embeddings": True,
        "decoder_start_token_id": config.decoder_start_id,
        "bos_token_id": config.empty_source[0],
        "eos_token_id": config.empty_source[1],
        **({} if head is None or head.bias else {"final_logits_bias": False}),
    }


def without_bias(keys: Mapping[str, Any], names: AbstractSet[str]) -> Mapping[str, Any]:
    """Files of the model without a head have no bias of the logits."""
    return keys if "final_logits_bias" in names else {**keys, "final_logits_bias": False}
