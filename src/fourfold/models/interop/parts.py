"""Tables of module names that several families share."""

from __future__ import annotations

LAYER = "stack.layers.{i}."
ENDS = {"head.projection": "lm_head", "task.projection": "score"}

LLAMA_ATTENTION = {
    LAYER + "attention.query": "model.layers.{i}.self_attn.q_proj",
    LAYER + "attention.key": "model.layers.{i}.self_attn.k_proj",
    LAYER + "attention.value": "model.layers.{i}.self_attn.v_proj",
    LAYER + "attention.output": "model.layers.{i}.self_attn.o_proj",
}
LLAMA_FEED_FORWARD = {
    LAYER + "feed_forward.gate": "model.layers.{i}.mlp.gate_proj",
    LAYER + "feed_forward.up": "model.layers.{i}.mlp.up_proj",
    LAYER + "feed_forward.down": "model.layers.{i}.mlp.down_proj",
}
LLAMA_NORMS = {
    LAYER + "norm_attention": "model.layers.{i}.input_layernorm",
    LAYER + "norm_feed_forward": "model.layers.{i}.post_attention_layernorm",
}
LLAMA_QUERY_KEY_NORMS = {
    LAYER + "attention.norm_query": "model.layers.{i}.self_attn.q_norm",
    LAYER + "attention.norm_key": "model.layers.{i}.self_attn.k_norm",
}
LLAMA_ENDS = {"stack.embedding": "model.embed_tokens", "stack.norm": "model.norm", **ENDS}
LLAMA = {**LLAMA_ENDS, **LLAMA_NORMS, **LLAMA_ATTENTION, **LLAMA_FEED_FORWARD}
"""The names of Llama, which most later decoders took over."""

BART_LAYER = {
    "norm_attention": "self_attn_layer_norm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.out_proj",
    "norm_cross": "encoder_attn_layer_norm",
    "cross.query": "encoder_attn.q_proj",
    "cross.key": "encoder_attn.k_proj",
    "cross.value": "encoder_attn.v_proj",
    "cross.output": "encoder_attn.out_proj",
    "norm_feed_forward": "final_layer_norm",
    "feed_forward.up": "fc1",
    "feed_forward.down": "fc2",
}
"""Within a layer of BART; OPT's are the same, without cross-attention."""

MEGATRON_LAYER = {
    "norm_attention": "input_layernorm",
    "attention.output": "self_attention.dense",
    "norm_feed_forward": "post_attention_layernorm",
    "feed_forward.down": "mlp.dense_4h_to_h",
}
"""Within a layer of BLOOM, Falcon and ChatGLM, which were trained with Megatron or took its names over."""
