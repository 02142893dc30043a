"""The shapes of Llama's nearest relatives, for the table of `oracle_decoders.py`."""

from __future__ import annotations

from oracle import PADDING, VOCABULARY, Case

SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": PADDING, "bos_token_id": 1, "eos_token_id": 2,
    "intermediate_size": 48, "num_key_value_heads": 2,
}  # fmt: skip
BASE = {"rope_type": "default", "rope_theta": 5000.0}
OLD_BASE = {"rope_parameters": None, "rope_theta": 5000.0}
YARN = {"factor": 4.0, "original_max_position_embeddings": 16}
MSCALES = {"mscale": 1.0, "mscale_all_dim": 0.5, "beta_fast": 16, "beta_slow": 2, "truncate": False}

MISTRAL = [
    Case(family="mistral", label="sliding window (7B v0.1)", config="MistralConfig",
         keys=SMALL | {"sliding_window": 7, "rope_parameters": BASE}, old=OLD_BASE),
    Case(family="mistral", label="no window (v0.2), tied, head size of its own", config="MistralConfig",
         keys=SMALL | {"sliding_window": None, "tie_word_embeddings": True, "head_dim": 12}),
    Case(family="mistral", label="yarn, its temperatures by mscale", config="MistralConfig",
         keys=SMALL | {"sliding_window": 7, "rope_parameters": BASE | {"rope_type": "yarn"} | YARN | MSCALES},
         old=OLD_BASE | {"rope_scaling": {"type": "yarn"} | YARN | MSCALES}),
]  # fmt: skip
MIXTRAL = [
    Case(family="mixtral", label="two of four experts", config="MixtralConfig",
         keys=SMALL | {"num_local_experts": 4, "rope_parameters": BASE}, old=OLD_BASE),
    Case(family="mixtral", label="one of eleven experts, sliding window", config="MixtralConfig",
         keys=SMALL | {"num_local_experts": 11, "num_experts_per_tok": 1, "sliding_window": 7}),
]  # fmt: skip
QWEN2 = [
    Case(family="qwen2", label="biases of query, key and value", config="Qwen2Config",
         keys=SMALL | {"rope_parameters": BASE, "tie_word_embeddings": True},
         old=OLD_BASE | {"layer_types": None, "sliding_window": 32}),
    Case(family="qwen2", label="windows in the upper layers", config="Qwen2Config",
         keys=SMALL | {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
         old={"layer_types": None}),
    Case(family="qwen2", label="yarn (long texts)", config="Qwen2Config",
         keys=SMALL | {"rope_parameters": BASE | {"rope_type": "yarn"} | YARN},
         old=OLD_BASE | {"rope_scaling": {"type": "yarn"} | YARN}),
]  # fmt: skip
QWEN3 = [
    Case(family="qwen3", label="normed queries and keys", config="Qwen3Config", keys=SMALL | {"head_dim": 12},
         old={"layer_types": None, "rope_parameters": None, "rope_theta": 10000.0}),
    Case(family="qwen3", label="biases, tied, alternating windows", config="Qwen3Config",
         keys=SMALL | {"attention_bias": True, "tie_word_embeddings": True, "head_dim": 8, "use_sliding_window": True,
                       "sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"] * 2,
                       "num_hidden_layers": 4}),
]  # fmt: skip

LLAMAS = [*MISTRAL, *MIXTRAL, *QWEN2, *QWEN3]
