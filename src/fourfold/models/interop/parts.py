"""Tables of module names that several families share."""

from __future__ import annotations

LAYER = "stack.layers.{i}."

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
LLAMA_ENDS = {
    "stack.embedding": "model.embed_tokens",
    "stack.norm": "model.norm",
    "head.projection": "lm_head",
    "task.projection": "score",
}
LLAMA = {**LLAMA_ENDS, **LLAMA_NORMS, **LLAMA_ATTENTION, **LLAMA_FEED_FORWARD}
"""The names of Llama, which most later decoders took over."""
