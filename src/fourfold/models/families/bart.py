"""BART (Lewis et al. 2020): encoder and decoder of BERT's kind, norms after the sums, a bias on the logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import Family, bart_keys, parts, sequence_keys
from fourfold.models.transformer import EncoderDecoderConfig

GENERATES = "BartForConditionalGeneration"
SIDES = ("encoder", "decoder")


def _read(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    sequence_keys.check_class(keys, GENERATES, "BartModel")
    return bart_keys.read_bart(keys)


BART = Family(
    name="bart",
    architectures=lambda config: GENERATES,
    read_config=_read,
    write_config=bart_keys.write_bart,
    observed=bart_keys.without_bias,
    modules={
        "encoder.embedding": "model.shared",
        **sequence_keys.stack_modules("encoder", "model.encoder.layers.{i}.", parts.BART_LAYER),
        **sequence_keys.stack_modules("decoder", "model.decoder.layers.{i}.", parts.BART_LAYER),
        **{f"{side}.positions": f"model.{side}.embed_positions" for side in SIDES},
        **{f"{side}.embedding_norm": f"model.{side}.layernorm_embedding" for side in SIDES},
        "head.projection": "lm_head",
        "head.bias": "final_logits_bias",
    },
    one_row=("head.bias",),
    base="model",
    renamed={r"encoder\.embed_tokens\.weight$": "shared.weight"},
    ignored=(r"decoder\.embed_tokens\.weight$", r"coder\.version$"),
)
