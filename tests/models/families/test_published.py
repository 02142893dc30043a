"""Configurations as published checkpoints carry them: read to the last parameter, and never a crash when damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourfold.errors import UserError
from fourfold.models import count_parameters, make_module
from fourfold.models.families import FAMILIES, family_for, family_named
from fourfold.models.files.family_config import read_family_config
from fourfold.models.transformer import Llama3Scaling, TransformerConfig

HERE = Path("config.json")
COMMON: dict[str, Any] = {
    "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "initializer_range": 0.02,
    "rms_norm_eps": 1e-05, "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "use_cache": True,
}  # fmt: skip
LLAMA3 = {
    "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3",
}  # fmt: skip


def sizes(kind: str, width: int, inner: int, layers: int, heads: tuple[int, int], vocabulary: int, **more: Any) -> Any:
    return COMMON | {
        "architectures": [f"{kind.capitalize()}ForCausalLM"], "model_type": kind, "hidden_size": width,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1], "vocab_size": vocabulary, "tie_word_embeddings": False, **more,
    }  # fmt: skip


PUBLISHED = {
    "SmolLM2 135M": (134_515_008, sizes(
        "llama", 576, 1536, 30, (9, 3), 49152, tie_word_embeddings=True, max_position_embeddings=8192,
        pretraining_tp=1, rope_interleaved=False, rope_scaling=None, rope_theta=100_000, is_llama_config=True)),
    "Llama 7B": (6_738_415_616, sizes("llama", 4096, 11008, 32, (32, 32), 32000, max_position_embeddings=2048)),
    "Llama 3.1 8B": (8_030_261_248, sizes(
        "llama", 4096, 14336, 32, (32, 8), 128_256, max_position_embeddings=131_072, rope_scaling=LLAMA3,
        rope_theta=500_000.0, attention_bias=False, mlp_bias=False)),
    "Mistral 7B v0.1": (7_241_732_096, sizes(
        "mistral", 4096, 14336, 32, (32, 8), 32000, max_position_embeddings=32768, sliding_window=4096)),
    "Mixtral 8x7B": (46_702_792_704, sizes(
        "mixtral", 4096, 14336, 32, (32, 8), 32000, max_position_embeddings=32768, sliding_window=None,
        num_experts_per_tok=2, num_local_experts=8, output_router_logits=False, router_aux_loss_coef=0.02,
        rope_theta=1e6)),
    "Qwen2.5 0.5B": (494_032_768, sizes(
        "qwen2", 896, 4864, 24, (14, 2), 151_936, tie_word_embeddings=True, max_position_embeddings=32768,
        max_window_layers=24, sliding_window=32768, use_sliding_window=False, use_mrope=False, rope_theta=1e6)),
    "Qwen3 0.6B": (596_049_920, sizes(
        "qwen3", 1024, 3072, 28, (16, 8), 151_936, tie_word_embeddings=True, max_position_embeddings=40960,
        head_dim=128, max_window_layers=28, sliding_window=None, use_sliding_window=False, rope_theta=1_000_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_have_their_published_size(name: str) -> None:
    parameters, keys = PUBLISHED[name]
    config = read_family_config(family_named(keys["model_type"]), keys, HERE)
    with torch.device("meta"):
        assert count_parameters(make_module(config)) == parameters
    found = family_for(config)
    assert found is not None
    assert found.name == keys["model_type"]


def test_the_scaling_of_llama_3_is_read_from_its_old_key() -> None:
    config = read_family_config(family_named("llama"), PUBLISHED["Llama 3.1 8B"][1], HERE)
    assert isinstance(config, TransformerConfig)
    assert config.positions.base == 500_000.0
    assert config.positions.scaling == Llama3Scaling(factor=8.0, original_context=8192)


SMALL = {
    "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 12, "max_position_embeddings": 16, "head_dim": 4, "sliding_window": 4, "n_embd": 8,
    "n_layer": 1, "n_head": 2, "n_positions": 16, "ffn_dim": 12, "d_model": 8, "d_ff": 12, "d_kv": 4, "num_layers": 1,
    "num_heads": 2, "type_vocab_size": 2, "dim": 8, "hidden_dim": 12, "n_heads": 2, "n_layers": 1,
    "embedding_size": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "query_pre_attn_scalar": 4,
    "ffn_hidden_size": 12, "kv_channels": 4, "padded_vocab_size": 20, "seq_length": 16, "multi_query_group_num": 1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}, "rope_scaling": None, "layer_types": None,
    "architectures": ["XForCausalLM"], "rms_norm_eps": 1e-5, "layer_norm_eps": 1e-5, "hidden_act": None,
}  # fmt: skip
PLAIN = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.sampled_from(["", "yarn", "silu", "x"])
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["rope_type", "factor", "rope_theta", "full_attention", "x"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.dictionaries(st.sampled_from(sorted(SMALL)), VALUES, min_size=1, max_size=3))
def test_damaged_configurations_are_refused_or_read(name: str, changes: dict[str, Any]) -> None:
    family = family_named(name)
    keys = {key: value for key, value in SMALL.items() if value is not None}
    try:
        config = read_family_config(family, keys | {"model_type": name} | changes, HERE)
    except UserError:
        return
    family_for(config)
