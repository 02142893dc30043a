"""OPT (Zhang et al. 2022): learned positions that begin at row 2, ReLU; the 350M norms after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import Family, class_name, expect, parts, unless, write_activation
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Attention, Embedding, Learned, Norm, NormPlace, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, layer_norm_elementwise_affine=True)
    bias = keys.get("enable_bias", True)
    place: NormPlace = "pre" if keys.get("do_layer_norm_before", True) else "post"
    activation = keys.get("activation_function", "relu")
    return TransformerConfig(
        **decoder.read_sizes(keys),
        attention=Attention(heads=keys["num_attention_heads"], bias=bias),
        feed_forward=decoder.plain_feed_forward(keys["ffn_dim"], activation, bias),
        norm=Norm(kind="layer", place=place, final=False if keys.get("_remove_final_layer_norm") else None),
        positions=Learned(offset=2),
        embedding=Embedding(size=unless(keys.get("word_embed_proj_dim"), keys["hidden_size"])),
        **decoder.read_decoder_ends(keys, tied=True),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "ffn_dim": config.feed_forward.size,
        "activation_function": write_activation(config.feed_forward.activation),
        "enable_bias": config.attention.bias,
        "do_layer_norm_before": config.norm.place == "pre",
        "_remove_final_layer_norm": config.norm.place == "pre" and not config.final_norm,
        "word_embed_proj_dim": config.embedding_size,
    }


OPT = Family(
    name="opt",
    architectures=class_name("OPT"),
    read_config=_read,
    write_config=decoder.writer(_write),
    modules={
        "stack.embedding": "model.decoder.embed_tokens",
        "stack.positions": "model.decoder.embed_positions",
        "stack.projection": "model.decoder.project_in",
        **decoder.in_layers("model.decoder.layers.{i}.", parts.BART_LAYER),
        "stack.norm": "model.decoder.final_layer_norm",
        "head.dense": "model.decoder.project_out",
        **parts.ENDS,
    },
    base="model",
)
