"""GPT-2 (Radford et al. 2019): learned positions, norms before the sub-layers; weights are stored as (in, out)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.interop.keys import class_name, expect, read_activation, write_activation
from fourfold.models.interop.table import Family, Fused
from fourfold.models.transformer import Attention, FeedForward, Learned, Norm, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    activation = read_activation(keys.get("activation_function", "gelu_new"))
    size = keys.get("n_inner") or 4 * keys["n_embd"]
    scale = None if keys.get("scale_attn_weights", True) else 1.0
    return TransformerConfig(
        vocabulary_size=keys["vocab_size"],
        hidden_size=keys["n_embd"],
        layers=keys["n_layer"],
        context=keys["n_positions"],
        attention=Attention(heads=keys["n_head"], bias=True, scale=scale),
        feed_forward=FeedForward(size=size, activation=activation, gated=False, bias=True),
        norm=Norm(kind="layer", epsilon=keys.get("layer_norm_epsilon", 1e-5)),
        positions=Learned(),
        **decoder.read_decoder_ends(keys, tied=True),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "n_embd": config.hidden_size,
        "n_layer": config.layers,
        "n_head": config.attention.heads,
        "n_positions": config.context,
        "n_inner": config.feed_forward.size,
        "activation_function": write_activation(config.feed_forward.activation, tanh="gelu_new"),
        "layer_norm_epsilon": config.norm.epsilon,
        "scale_attn_weights": config.attention.scale is None,
    }


LAYER = {
    "norm_attention": "ln_1",
    "attention.output": "attn.c_proj",
    "norm_feed_forward": "ln_2",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}
GPT2 = Family(
    name="gpt2",
    architectures=class_name("GPT2", head="LMHeadModel"),
    read_config=_read,
    write_config=decoder.writer(_write),
    modules={
        "stack.embedding": "transformer.wte",
        "stack.positions": "transformer.wpe",
        **decoder.in_layers("transformer.h.{i}.", LAYER),
        "stack.norm": "transformer.ln_f",
        "head.projection": "lm_head",
        "task.projection": "score",
    },
    fused=(Fused(name="transformer.h.{i}.attn.c_attn", parts=decoder.ATTENTION),),
    transposed=("attention.query", "attention.key", "attention.value", "attention.output", ".up", ".down"),
    base="transformer",
    ignored=(r"\.attn\.(masked_)?bias$",),
)
