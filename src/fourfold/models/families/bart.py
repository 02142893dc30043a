"""BART (Lewis et al. 2020): encoder and decoder of BERT's kind, norms after the sums, a bias on the logits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from fourfold.models.families.keys import expect, read_activation, write_activation
from fourfold.models.families.normal import Config
from fourfold.models.families.sequence_keys import check_class, stack_modules
from fourfold.models.families.table import Family
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

GENERATES = "BartForConditionalGeneration"
USUAL = {"normalize_before": False, "add_final_layer_norm": False, "normalize_embedding": True,
         "static_position_embeddings": False, "extra_pos_embeddings": 2, "tie_word_embeddings": True}  # fmt: skip
OFFSET = 2


def _read(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    expect(keys, **USUAL)
    check_class(keys, GENERATES, "BartModel")
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


def _write(config: Config) -> dict[str, Any] | None:
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


def _observed(keys: Mapping[str, Any], names: AbstractSet[str]) -> Mapping[str, Any]:
    """Files of the model without a head have no bias of the logits."""
    return keys if "final_logits_bias" in names else {**keys, "final_logits_bias": False}


INSIDE = {
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.out_proj",
    "norm_attention": "self_attn_layer_norm",
    "cross.query": "encoder_attn.q_proj",
    "cross.key": "encoder_attn.k_proj",
    "cross.value": "encoder_attn.v_proj",
    "cross.output": "encoder_attn.out_proj",
    "norm_cross": "encoder_attn_layer_norm",
    "feed_forward.up": "fc1",
    "feed_forward.down": "fc2",
    "norm_feed_forward": "final_layer_norm",
}
BART = Family(
    name="bart",
    architectures=lambda config: GENERATES,
    read_config=_read,
    write_config=_write,
    observed=_observed,
    modules={
        "encoder.embedding": "model.shared",
        **stack_modules("encoder", "model.encoder.layers.{i}.", INSIDE),
        **stack_modules("decoder", "model.decoder.layers.{i}.", INSIDE),
        **{f"{side}.positions": f"model.{side}.embed_positions" for side in ("encoder", "decoder")},
        **{f"{side}.embedding_norm": f"model.{side}.layernorm_embedding" for side in ("encoder", "decoder")},
        "head.projection": "lm_head",
        "head.bias": "final_logits_bias",
    },
    one_row=("head.bias",),
    base="model",
    renamed={r"encoder\.embed_tokens\.weight$": "shared.weight"},
    ignored=(r"decoder\.embed_tokens\.weight$", r"coder\.version$"),
)
