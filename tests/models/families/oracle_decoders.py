"""The shapes of decoder families that `test_oracles.py` proves, and that `docs/families.md` lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from oracle import PADDING, VOCABULARY, Case
from oracle_llamas import LLAMAS

SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": PADDING, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GATED = SMALL | {"intermediate_size": 48, "num_key_value_heads": 2}
ROPE = {"rope_type": "default", "rope_theta": 5000.0}


def scaled(kind: str, **keys: Any) -> dict[str, Any]:
    """Keys for a model with scaled rotary positions, made for 16 tokens and stretched."""
    return GATED | {"rope_parameters": {"rope_type": kind, "rope_theta": 5000.0, "factor": 4.0, **keys}}


def old_scaling(kind: str, **keys: Any) -> dict[str, Any]:
    """How files before transformers 5 say the same."""
    return {
        "rope_parameters": None, "rope_theta": 5000.0, "rope_scaling": {"type": kind, "factor": 4.0, **keys},
    }  # fmt: skip


LLAMA_SCALINGS = {
    "linear": {},
    "yarn": {"original_max_position_embeddings": 16},
    "llama3": {"original_max_position_embeddings": 16, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
}
OLD_DTYPE = {"dtype": None, "torch_dtype": "float32"}
OLD_BASE = {"rope_parameters": None, "rope_theta": 5000.0, **OLD_DTYPE}

LLAMA = [
    Case(family="llama", label="grouped-query", config="LlamaConfig", keys=GATED | {"rope_parameters": ROPE},
         old=OLD_BASE),
    Case(family="llama", label="multi-head, tied", config="LlamaConfig",
         keys=GATED | {"num_key_value_heads": 4, "tie_word_embeddings": True},
         old={"num_key_value_heads": None, "head_dim": None, "rope_parameters": None}),
    Case(family="llama", label="multi-query, biases", config="LlamaConfig",
         keys=GATED | {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True}),
    Case(family="llama", label="head size of its own", config="LlamaConfig", keys=GATED | {"head_dim": 12}),
    *(Case(family="llama", label=f"{kind} scaling", config="LlamaConfig", keys=scaled(kind, **keys),
           old=old_scaling(kind, **keys)) for kind, keys in LLAMA_SCALINGS.items()),
    Case(family="llama", label="dynamic scaling, beyond its length", config="LlamaConfig",
         keys=scaled("dynamic") | {"max_position_embeddings": 16}, old=old_scaling("dynamic"), cached=False),
]  # fmt: skip

GPT2 = [
    Case(family="gpt2", label="tied", config="GPT2Config",
         keys={"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}),
    Case(family="gpt2", label="untied, own feed-forward size", config="GPT2Config",
         keys={"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
               "n_inner": 48, "tie_word_embeddings": False, "activation_function": "relu"}),
]  # fmt: skip

NEOX = SMALL | {"intermediate_size": 48}
GPT_NEOX = [
    Case(family="gpt_neox", label="parallel (Pythia)", config="GPTNeoXConfig", keys=NEOX,
         old={"rope_parameters": None, "rotary_pct": 0.25, "rotary_emb_base": 10000}),
    Case(family="gpt_neox", label="serial, tied, no attention bias", config="GPTNeoXConfig",
         keys=NEOX | {"use_parallel_residual": False, "tie_word_embeddings": True, "attention_bias": False,
                      "rope_parameters": ROPE | {"partial_rotary_factor": 0.5}},
         old={"rope_parameters": None, "rotary_pct": 0.5, "rotary_emb_base": 5000}),
]  # fmt: skip

GEMMA_SIZES = GATED | {"head_dim": 12}
GEMMA = [
    Case(family="gemma", label="multi-query (2B)", config="GemmaConfig", keys=GEMMA_SIZES | {"num_key_value_heads": 1},
         old={"hidden_act": "gelu", "rope_parameters": None, "rope_theta": 10000.0}),
    Case(family="gemma", label="multi-head (7B)", config="GemmaConfig", keys=GEMMA_SIZES | {"num_key_value_heads": 4}),
]  # fmt: skip
GEMMA2 = [
    Case(family="gemma2", label="windows alternate, soft caps", config="Gemma2Config",
         keys=GEMMA_SIZES | {"sliding_window": 7, "query_pre_attn_scalar": 20, "attn_logit_softcapping": 2.0,
                             "final_logit_softcapping": 3.0},
         old={"layer_types": None, "rope_parameters": None, "rope_theta": 10000.0}),
    Case(family="gemma2", label="no caps", config="Gemma2Config",
         keys=GEMMA_SIZES | {"sliding_window": 7, "attn_logit_softcapping": None, "final_logit_softcapping": None}),
]  # fmt: skip
GEMMA3 = [
    Case(family="gemma3_text", label="five local layers to a global one", config="Gemma3TextConfig",
         keys=GEMMA_SIZES | {"num_hidden_layers": 7, "sliding_window": 7, "query_pre_attn_scalar": 20},
         old={"layer_types": None, "sliding_window_pattern": 6, "rope_parameters": None, "rope_theta": 1_000_000.0,
              "rope_local_base_freq": 10000.0}),
    Case(family="gemma3_text", label="global layers scaled (4B)", config="Gemma3TextConfig",
         keys=GEMMA_SIZES | {"sliding_window": 7,
                             "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
                             "rope_parameters": {
                                 "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                                 "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
         old={"layer_types": None, "sliding_window_pattern": 3, "rope_parameters": None, "rope_theta": 1_000_000.0,
              "rope_local_base_freq": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
]  # fmt: skip

PHI = [
    Case(family="phi", label="one norm, partial rotary (Phi-2)", config="PhiConfig", keys=NEOX,
         old={"rope_parameters": None, "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
              "num_key_value_heads": None}),
    Case(family="phi", label="grouped-query, q/k norm", config="PhiConfig", keys=GATED | {"qk_layernorm": True}),
]  # fmt: skip

FALCON = [
    Case(family="falcon", label="multi-query, one norm (7B)", config="FalconConfig", keys=SMALL,
         old={"rope_parameters": None, "rope_theta": 10000.0, "ffn_hidden_size": None, "num_kv_heads": None}),
    Case(family="falcon", label="grouped-query, two norms (40B)", config="FalconConfig",
         keys=SMALL | {"num_kv_heads": 2, "new_decoder_architecture": True, "ffn_hidden_size": 48},
         old={"num_ln_in_parallel_attn": None}),
    Case(family="falcon", label="grouped-query, one norm (Falcon 2)", config="FalconConfig",
         keys=SMALL | {"num_kv_heads": 2, "new_decoder_architecture": True, "num_ln_in_parallel_attn": 1,
                       "tie_word_embeddings": False}),
    Case(family="falcon", label="ALiBi, serial, biases (RW)", config="FalconConfig",
         keys=SMALL | {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}),
]  # fmt: skip

BLOOM = [
    Case(family="bloom", label="heads a power of two", config="BloomConfig",
         keys={"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 3, "n_head": 4},
         old={"hidden_size": None, "n_embed": 32}),
    Case(family="bloom", label="six heads", config="BloomConfig",
         keys={"vocab_size": VOCABULARY, "hidden_size": 48, "n_layer": 2, "n_head": 6}),
]  # fmt: skip

OPT_SIZES = SMALL | {"ffn_dim": 48}
OPT = [
    Case(family="opt", label="norm before (125M, 1.3B–175B)", config="OPTConfig", keys=OPT_SIZES),
    Case(family="opt", label="norm after, projected embedding (350M)", config="OPTConfig",
         keys=OPT_SIZES | {"do_layer_norm_before": False, "word_embed_proj_dim": 16}),
    Case(family="opt", label="no biases, gelu", config="OPTConfig",
         keys=OPT_SIZES | {"enable_bias": False, "activation_function": "gelu"}),
]  # fmt: skip

OLMO2 = [
    Case(family="olmo2", label="multi-head", config="Olmo2Config", keys=GATED | {"num_key_value_heads": 4},
         old={"rope_parameters": None, "rope_theta": 10000.0, "num_key_value_heads": None}),
    Case(family="olmo2", label="grouped-query (32B)", config="Olmo2Config", keys=GATED | {"attention_bias": True}),
]  # fmt: skip

GLM = [
    Case(family="glm", label="grouped-query, half rotary", config="GlmConfig", keys=GATED | {"head_dim": 8},
         old={"rope_parameters": None, "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    Case(family="glm", label="tied, no biases", config="GlmConfig",
         keys=GATED | {"head_dim": 12, "tie_word_embeddings": True, "attention_bias": False,
                       "rope_parameters": ROPE | {"partial_rotary_factor": 1.0}}),
]  # fmt: skip

DECODERS = [
    *LLAMA, *LLAMAS, *GPT2, *GPT_NEOX, *GEMMA, *GEMMA2, *GEMMA3, *PHI, *FALCON, *BLOOM, *OPT, *OLMO2, *GLM,
]  # fmt: skip


def other_ends(cases: list[Case]) -> Iterator[Case]:
    """The first shape of every family without a head, and with a classifier of the last token."""
    families: set[str] = set()
    for case in cases:
        if case.family not in families:
            families.add(case.family)
            yield replace(case, label="no head", auto="AutoModel", old={})
            keys = {**case.keys, "pad_token_id": PADDING, "num_labels": 3}
            yield replace(case, label="classifier", auto="AutoModelForSequenceClassification", keys=keys, old={})


OTHER_ENDS = list(other_ends(DECODERS))
