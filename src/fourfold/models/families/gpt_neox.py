"""GPT-NeoX (Black et al. 2022) and Pythia (Biderman et al. 2023): parallel branches, a part of each head rotary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import Family, Fused, class_name, read_activation, read_rotary, write_activation
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Attention, FeedForward, Norm, TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    activation = read_activation(keys.get("hidden_act", "gelu"))
    return TransformerConfig(
        **decoder.read_sizes(keys),
        attention=Attention(heads=keys["num_attention_heads"], bias=keys.get("attention_bias", True)),
        feed_forward=FeedForward(size=keys["intermediate_size"], activation=activation, gated=False, bias=True),
        norm=Norm(kind="layer", epsilon=keys.get("layer_norm_eps", 1e-5)),
        positions=read_rotary(keys, share=0.25),
        residual="parallel" if keys.get("use_parallel_residual", True) else "serial",
        **decoder.read_decoder_ends(keys, tied=False),
    )


def _write(config: TransformerConfig) -> dict[str, Any]:
    return {
        "intermediate_size": config.feed_forward.size,
        "hidden_act": write_activation(config.feed_forward.activation),
        "layer_norm_eps": config.norm.epsilon,
        "attention_bias": config.attention.bias,
        "use_parallel_residual": config.residual == "parallel",
    }


LAYER = {
    "norm_attention": "input_layernorm",
    "attention.output": "attention.dense",
    "norm_feed_forward": "post_attention_layernorm",
    "feed_forward.up": "mlp.dense_h_to_4h",
    "feed_forward.down": "mlp.dense_4h_to_h",
}
GPT_NEOX = Family(
    name="gpt_neox",
    architectures=class_name("GPTNeoX"),
    read_config=_read,
    write_config=decoder.writer(_write, share=0.25),
    modules={
        "stack.embedding": "gpt_neox.embed_in",
        **decoder.in_layers("gpt_neox.layers.{i}.", LAYER),
        "stack.norm": "gpt_neox.final_layer_norm",
        "head.projection": "embed_out",
        "task.projection": "score",
    },
    fused=(Fused(name="gpt_neox.layers.{i}.attention.query_key_value", parts=decoder.ATTENTION, layout="per-head"),),
    base="gpt_neox",
    ignored=(r"\.attention\.(masked_)?bias$", r"\.rotary_emb\.inv_freq$"),
)
