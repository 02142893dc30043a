"""ChatGLM 2 and 3, and GLM-4's first files (GLM Team 2024): the architecture of `glm` under older names.

They are read, and saved as `glm`, which needs no code of the checkpoint's own. The first ChatGLM-6B (GLM, Du et al.
2022: a prefix decoder) has positions in two dimensions and is refused; a prefix decoder of this architecture is the
configuration with mask "prefix". ChatGLM2-6B-32K, which divides positions by `rope_ratio`, says so nowhere in its
configuration and is read like its successors, which multiply the base.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.errors import UserError
from fourfold.models.interop import Family, Fused, expect, parts
from fourfold.models.interop import decoder_keys as decoder
from fourfold.models.transformer import Attention, FeedForward, Head, Norm, Rotary, TransformerConfig

IN_LAYERS = "transformer.encoder.layers.{i}."
SIZES = decoder.Sizes(vocabulary="padded_vocab_size", layers="num_layers", context="seq_length")


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    if keys.get("position_encoding_2d"):
        first = "the first ChatGLM has positions in two dimensions, which are not supported"
        raise UserError(first, expected="ChatGLM 2 or later", advice="Use ChatGLM2, ChatGLM3 or GLM-4.")
    expect(keys, multi_query_attention=True, rmsnorm=True, post_layer_norm=True, add_bias_linear=False)
    expect(keys, apply_residual_connection_post_layernorm=False)
    heads, kv_heads = keys["num_attention_heads"], keys["multi_query_group_num"]
    size, bias = keys["kv_channels"], keys.get("add_qkv_bias", False)
    return TransformerConfig(
        **decoder.read_sizes(keys, SIZES),
        attention=Attention(heads=heads, kv_heads=kv_heads, head_size=size, bias=bias, output_bias=False),
        feed_forward=FeedForward(size=keys["ffn_hidden_size"]),
        norm=Norm(epsilon=keys.get("layernorm_epsilon", 1e-5)),
        positions=Rotary(base=10_000.0 * keys.get("rope_ratio", 1), share=0.5, interleaved=True),
        head=Head(tied=keys.get("tie_word_embeddings", False)),
    )


CHATGLM = Family(
    name="chatglm",
    architectures=lambda config: "ChatGLMForConditionalGeneration",
    read_config=_read,
    write_config=lambda config: None,  # `glm` says the same
    modules={
        "stack.embedding": "transformer.embedding.word_embeddings",
        **decoder.in_layers(IN_LAYERS, parts.MEGATRON_LAYER),
        "stack.norm": "transformer.encoder.final_layernorm",
        "head.projection": "transformer.output_layer",
    },
    fused=(
        Fused(name=IN_LAYERS + "self_attention.query_key_value", parts=decoder.ATTENTION),
        Fused(name=IN_LAYERS + "mlp.dense_h_to_4h", parts=decoder.GATE_AND_UP),
    ),
    ignored=(r"\.inv_freq$",),
)
