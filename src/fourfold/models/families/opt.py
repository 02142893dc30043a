"""OPT (Zhang et al. 2022): learned positions that begin at row 2, ReLU; the 350M norms after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.interop.keys import class_name, expect, read_activation, write_activation
from fourfold.models.interop.normal import unless
from fourfold.models.interop.table import Family
from fourfold.models.transformer import Attention, Embedding, FeedForward, Learned, Norm, NormPlace, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, layer_norm_elementwise_affine=True)
    bias = keys.get("enable_bias", True)
    place: NormPlace = "pre" if keys.get("do_layer_norm_before", True) else "post"
    activation = read_activation(keys.get("activation_function", "relu"))
    return TransformerConfig(
        **decoder.read_sizes(keys),
        attention=Attention(heads=keys["num_attention_heads"], bias=bias),
        feed_forward=FeedForward(size=keys["ffn_dim"], activation=activation, gated=False, bias=bias),
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


LAYER = {
    "norm_attention": "self_attn_layer_norm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.out_proj",
    "norm_feed_forward": "final_layer_norm",
    "feed_forward.up": "fc1",
    "feed_forward.down": "fc2",
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
        **decoder.in_layers("model.decoder.layers.{i}.", LAYER),
        "stack.norm": "model.decoder.final_layer_norm",
        "head.dense": "model.decoder.project_out",
        "head.projection": "lm_head",
        "task.projection": "score",
    },
    base="model",
)
