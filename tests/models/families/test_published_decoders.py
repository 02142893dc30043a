"""Configurations as published decoders carry them, with the keys of their day: as many parameters as transformers has.

The shapes are full size; neither side allocates memory for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fourfold.models import count_parameters, make_module
from fourfold.models.families import family_for, family_named
from fourfold.models.files.family_config import read_family_config

EVERY = {"initializer_range": 0.02, "torch_dtype": "float16", "transformers_version": "4.30.0", "use_cache": True}
GEMMA = EVERY | {
    "attention_bias": False, "attention_dropout": 0.0, "head_dim": 256, "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "vocab_size": 256_000, "pad_token_id": 0,
}  # fmt: skip
PHI = EVERY | {
    "attention_dropout": 0.0, "embd_pdrop": 0.0, "hidden_act": "gelu_new", "layer_norm_eps": 1e-05,
    "qk_layernorm": False, "resid_pdrop": 0.1, "rope_scaling": None, "rope_theta": 10000.0, "vocab_size": 51200,
    "tie_word_embeddings": False, "max_position_embeddings": 2048,
}  # fmt: skip
FALCON = EVERY | {
    "model_type": "falcon", "apply_residual_connection_post_layernorm": False, "attention_dropout": 0.0,
    "hidden_dropout": 0.0, "layer_norm_epsilon": 1e-05, "vocab_size": 65024, "bias": False, "alibi": False,
    "multi_query": True, "parallel_attn": True,
}  # fmt: skip
OPT = EVERY | {
    "model_type": "opt", "_remove_final_layer_norm": False, "activation_dropout": 0.0, "activation_function": "relu",
    "attention_dropout": 0.0, "dropout": 0.1, "init_std": 0.02, "layerdrop": 0.0, "max_position_embeddings": 2048,
    "pad_token_id": 1, "prefix": "</s>", "vocab_size": 50272,
}  # fmt: skip

PUBLISHED: dict[str, dict[str, Any]] = {
    "GPT-2": EVERY | {
        "model_type": "gpt2", "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1, "embd_pdrop": 0.1, "layer_norm_epsilon": 1e-05, "n_ctx": 1024, "n_embd": 768, "n_head": 12,
        "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1, "summary_type": "cls_index", "vocab_size": 50257,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}},
    "Pythia 160M": EVERY | {
        "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "hidden_act": "gelu", "hidden_size": 768,
        "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "num_attention_heads": 12,
        "num_hidden_layers": 12, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
        "use_parallel_residual": True, "vocab_size": 50304},
    "Gemma 2B": GEMMA | {
        "model_type": "gemma", "hidden_act": "gelu", "hidden_activation": None, "hidden_size": 2048,
        "intermediate_size": 16384, "num_attention_heads": 8, "num_hidden_layers": 18, "num_key_value_heads": 1,
        "rope_scaling": None},
    "Gemma 2 2B": GEMMA | {
        "model_type": "gemma2", "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
        "cache_implementation": "hybrid", "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 2304, "intermediate_size": 9216, "num_attention_heads": 8, "num_hidden_layers": 26,
        "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "sliding_window": 4096},
    "Gemma 3 1B": GEMMA | {
        "model_type": "gemma3_text", "attn_logit_softcapping": None, "final_logit_softcapping": None,
        "cache_implementation": "hybrid", "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152,
        "intermediate_size": 6912, "max_position_embeddings": 32768, "num_attention_heads": 4, "num_hidden_layers": 26,
        "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rope_local_base_freq": 10000, "rope_scaling": None,
        "rope_theta": 1_000_000, "sliding_window": 512, "sliding_window_pattern": 6, "vocab_size": 262_144},
    "Phi-1.5": PHI | {
        "model_type": "phi", "hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32,
        "num_hidden_layers": 24, "num_key_value_heads": None, "partial_rotary_factor": 0.5},
    "Phi-2": PHI | {
        "model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "partial_rotary_factor": 0.4},
    "Falcon 7B": FALCON | {
        "hidden_size": 4544, "num_attention_heads": 71, "num_hidden_layers": 32, "new_decoder_architecture": False},
    "Falcon 40B": FALCON | {
        "hidden_size": 8192, "num_attention_heads": 128, "num_hidden_layers": 60, "num_kv_heads": 8,
        "new_decoder_architecture": True},
    "Falcon-RW 1B": FALCON | {
        "hidden_size": 2048, "num_attention_heads": 32, "num_hidden_layers": 24, "new_decoder_architecture": False,
        "alibi": True, "bias": True, "multi_query": False, "parallel_attn": False, "vocab_size": 50304},
    "BLOOM 560M": EVERY | {
        "model_type": "bloom", "apply_residual_connection_post_layernorm": False, "attention_dropout": 0.0,
        "attention_softmax_in_fp32": True, "bias_dropout_fusion": True, "hidden_dropout": 0.0,
        "layer_norm_epsilon": 1e-05, "masked_softmax_fusion": True, "n_embed": 1024, "n_inner": None, "n_layer": 24,
        "num_attention_heads": 16, "offset_alibi": 100, "pretraining_tp": 1, "seq_length": 2048,
        "skip_bias_add": True, "skip_bias_add_qkv": False, "unk_token_id": 0, "vocab_size": 250_880},
    "OPT 125M": OPT | {
        "hidden_size": 768, "ffn_dim": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "do_layer_norm_before": True, "word_embed_proj_dim": 768},
    "OPT 350M": OPT | {
        "hidden_size": 1024, "ffn_dim": 4096, "num_attention_heads": 16, "num_hidden_layers": 24,
        "do_layer_norm_before": False, "word_embed_proj_dim": 512},
    "OLMo 2 7B": EVERY | {
        "model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"], "attention_bias": False, "hidden_act": "silu",
        "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 4096, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-06, "rope_scaling": None,
        "rope_theta": 500_000, "tie_word_embeddings": False, "vocab_size": 100_352},
    "GLM-4 9B": EVERY | {
        "model_type": "glm", "architectures": ["GlmForCausalLM"], "attention_bias": True, "head_dim": 128,
        "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 13696, "max_position_embeddings": 131_072,
        "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 2, "pad_token_id": 151_329,
        "partial_rotary_factor": 0.5, "rms_norm_eps": 1.5625e-07, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "vocab_size": 151_552},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_have_as_many_parameters(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    keys = PUBLISHED[name]
    config = read_family_config(family_named(keys["model_type"]), keys, Path("config.json"))
    plain = {key: value for key, value in keys.items() if key != "model_type"}
    with torch.device("meta"):
        theirs = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(keys["model_type"], **plain)
        )
        assert count_parameters(make_module(config)) == sum(parameter.numel() for parameter in theirs.parameters())
    found = family_for(config)
    assert found is not None
    assert found.name == keys["model_type"]  # saved as what it was


def test_published_chatglm3_has_its_six_billion_parameters() -> None:
    keys = {
        "model_type": "chatglm", "add_bias_linear": False, "add_qkv_bias": True, "ffn_hidden_size": 13696,
        "apply_query_key_layer_scaling": True, "apply_residual_connection_post_layernorm": False, "kv_channels": 128,
        "attention_dropout": 0.0, "attention_softmax_in_fp32": True, "bias_dropout_fusion": True,
        "fp32_residual_connection": False, "hidden_dropout": 0.0, "hidden_size": 4096, "layernorm_epsilon": 1e-05,
        "multi_query_attention": True, "multi_query_group_num": 2, "num_attention_heads": 32, "num_layers": 28,
        "original_rope": True, "padded_vocab_size": 65024, "post_layer_norm": True, "rmsnorm": True,
        "seq_length": 8192, "use_cache": True, "torch_dtype": "float16", "tie_word_embeddings": False,
    }  # fmt: skip
    config = read_family_config(family_named("chatglm"), keys, Path("config.json"))
    with torch.device("meta"):
        assert count_parameters(make_module(config)) == 6_243_584_000
