"""ChatGLM 2 and 3 by way of `glm`, whose weights they hold under other names; and GLM's prefix mask."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import TOLERANCE, difference, random_ids, write_oracle
from oracle_decoders import GLM
from safetensors.torch import load_file, save_file

from fourfold.errors import UserError
from fourfold.files import read_json, write_json
from fourfold.models import Step, TransformerLM
from fourfold.models.families import family_named
from fourfold.models.files import load_model, save_model

pytest.importorskip("transformers")

CASE = GLM[0]
NAMES = {
    r"^model\.embed_tokens": "transformer.embedding.word_embeddings",
    r"^model\.layers": "transformer.encoder.layers",
    r"^model\.norm": "transformer.encoder.final_layernorm",
    r"^lm_head": "transformer.output_layer",
    r"self_attn\.o_proj": "self_attention.dense",
    r"mlp\.gate_up_proj": "mlp.dense_h_to_4h",
    r"mlp\.down_proj": "mlp.dense_4h_to_h",
}
KEYS = {
    "model_type": "chatglm", "architectures": ["ChatGLMModel"], "padded_vocab_size": 99, "hidden_size": 32,
    "num_layers": 3, "seq_length": 64, "num_attention_heads": 4, "multi_query_attention": True,
    "multi_query_group_num": 2, "kv_channels": 8, "add_qkv_bias": True, "add_bias_linear": False,
    "ffn_hidden_size": 48, "layernorm_epsilon": 1.5625e-07, "rmsnorm": True, "post_layer_norm": True,
    "apply_residual_connection_post_layernorm": False, "torch_dtype": "float32", "rope_ratio": 1,
}  # fmt: skip


def to_chatglm(folder: Path, target: Path) -> None:
    """Rewrite a `glm` folder as the older files were."""
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if "q_proj" in name]:
        parts = [weights.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        weights[name.replace("self_attn.q_proj", "self_attention.query_key_value")] = torch.cat(parts)
    for pattern, name in NAMES.items():
        weights = {re.sub(pattern, name, old): tensor for old, tensor in weights.items()}
    weights["transformer.rotary_pos_emb.inv_freq"] = torch.ones(2)
    target.mkdir()
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    write_json(target / "config.json", KEYS)


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("glm")
    return write_oracle(CASE, folder), folder


def test_chatglm_is_glm_under_other_names(glm: tuple[Any, Path], tmp_path: Path) -> None:
    theirs, folder = glm
    to_chatglm(folder, tmp_path / "old")
    ours, ids = load_model(tmp_path / "old"), random_ids(2, 20)
    assert ours.config == load_model(folder).config
    with torch.no_grad():
        assert difference(ours.logits(ours.hidden(Step(ids=ids))), theirs(input_ids=ids).logits) <= TOLERANCE
    save_model(ours, tmp_path / "new")
    assert read_json(tmp_path / "new" / "config.json")["model_type"] == "glm"
    assert (tmp_path / "new" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_a_longer_context_has_a_larger_base() -> None:
    assert family_named("chatglm").read_config(KEYS | {"rope_ratio": 50}).positions.base == 500_000.0


def test_the_first_chatglm_is_refused() -> None:
    with pytest.raises(UserError, match="positions in two dimensions"):
        family_named("chatglm").read_config(KEYS | {"position_encoding_2d": True})


def test_a_prefix_is_seen_whole(glm: tuple[Any, Path], tmp_path: Path) -> None:
    theirs, folder = glm
    causal = load_model(folder)
    ours = TransformerLM(replace(causal.config, mask="prefix"))
    ours.load_state_dict(causal.state_dict())
    ids, prefix = random_ids(2, 12), torch.arange(12) < torch.tensor([[5], [8]])  # (2, 12)
    seen = torch.ones(12, 12, dtype=torch.bool).tril() | prefix[:, None]
    with torch.no_grad():
        wanted = theirs(input_ids=ids, attention_mask=seen[:, None]).logits  # a mask of four dimensions is used as is
        found = ours.logits(ours.hidden(Step(ids=ids, prefix=prefix)))
        assert difference(found, wanted) <= TOLERANCE
        assert difference(found, theirs(input_ids=ids).logits) > 0.01
    save_model(ours, tmp_path)
    assert load_model(tmp_path).config.mask == "prefix"
