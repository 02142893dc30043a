"""GPT-2 (Radford et al. 2019): learned positions, norms before the sub-layers; weights are stored as (in, out)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import Family, Fused, class_name, expect, parts, write_activation
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Attention, Learned, Norm, TransformerConfig

SIZES = decoder.Sizes(width="n_embd", layers="n_layer", heads="n_head", context="n_positions")


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    size, scaled = keys.get("n_inner") or 4 * keys["n_embd"], keys.get("scale_attn_weights", True)
    return TransformerConfig(
        **decoder.read_sizes(keys, SIZES),
        attention=Attention(heads=keys["n_head"], bias=True, scale=None if scaled else 1.0),
        feed_forward=decoder.plain_feed_forward(size, keys.get("activation_function", "gelu_new")),
        norm=Norm(kind="layer", epsilon=keys.get("layer_norm_epsilon", 1e-5)),
        positions=Learned(),
        **decoder.read_decoder_ends(keys, tied=True),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
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
    write_config=decoder.writer(_write, sizes=SIZES),
    modules={
        "stack.embedding": "transformer.wte",
        "stack.positions": "transformer.wpe",
        **decoder.in_layers("transformer.h.{i}.", LAYER),
        "stack.norm": "transformer.ln_f",
        **parts.ENDS,
    },
    fused=(Fused(name="transformer.h.{i}.attn.c_attn", parts=decoder.ATTENTION),),
    transposed=("attention.query", "attention.key", "attention.value", "attention.output", ".up", ".down"),
    base="transformer",
    ignored=(r"\.attn\.(masked_)?bias$",),
)
