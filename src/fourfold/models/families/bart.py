"""BART (Lewis et al. 2020): encoder and decoder of BERT's kind, norms after the sums, a bias on the logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop.bart_keys import read_bart, without_bias, write_bart
from fourfold.models.interop.sequence_keys import check_class, stack_modules
from fourfold.models.interop.table import Family
from fourfold.models.transformer import EncoderDecoderConfig

GENERATES = "BartForConditionalGeneration"


def _read(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    check_class(keys, GENERATES, "BartModel")
    return read_bart(keys)


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
    write_config=write_bart,
    observed=without_bias,
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
