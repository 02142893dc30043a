"""GGUF files as models: the family's table of names, both ways.

llama.cpp rotates neighbouring values, Hugging Face (and we) the two halves of a head. The converter
of llama.cpp therefore reorders the rows of query and key for some architectures; we undo it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fourfold.errors import UserError, unknown_name
from fourfold.models.families import Family, family_for, family_named
from fourfold.models.files.folder import fill, make_empty, read_family_config
from fourfold.models.files.gguf_blocks import F16, F32, FORMATS
from fourfold.models.files.gguf_quantize import SAVED
from fourfold.models.files.gguf_reader import GGUF, read_gguf
from fourfold.models.files.gguf_writer import TensorPlan, write_gguf
from fourfold.models.transformer import Rotary, TransformerConfig, TransformerLM
from fourfold.tokenizers import Tokenizer, to_gguf

FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7, "bf16": 32}
"""`general.file_type`, which llama.cpp shows."""


def load_gguf(path: Path | str, dtype: torch.dtype = torch.float32) -> tuple[TransformerLM, dict[str, Any]]:
    """The model in a GGUF file, unpacked to `dtype`, and the file's metadata (for `from_gguf`)."""
    file = read_gguf(path)
    family = family_named(file.architecture, file.path)
    config = _config(file, family)
    tensors: dict[str, Tensor] = {}
    for name in file.tensors:
        ours = family.gguf.ours(name) or name
        tensor = file.tensor(name, dtype)
        heads = _interleaved_heads(ours, family, config)
        tensors[ours] = tensor if heads is None else split_halves(tensor, heads)
    model = fill(make_empty(config), tensors, file.path)
    assert isinstance(model, TransformerLM)
    return model, file.metadata


def _config(file: GGUF, family: Family) -> TransformerConfig:
    scaling = file.get("rope.scaling.type", "none")
    if scaling != "none" or "rope_freqs.weight" in file.tensors:
        kind = scaling if scaling != "none" else "llama3"
        raise UserError("this scaling of rotary positions is not supported yet", where=file.path, got=kind)
    if "token_embd.weight" not in file.tensors:
        raise UserError("no embedding in the file: is it a model?", where=file.path, expected="token_embd.weight")
    values = {
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "hidden_size": file.get("embedding_length"),
        "intermediate_size": file.get("feed_forward_length"),
        "num_hidden_layers": file.get("block_count"),
        "num_attention_heads": file.get("attention.head_count"),
        "num_key_value_heads": file.get("attention.head_count_kv"),
        "head_dim": file.get("attention.key_length", file.get("rope.dimension_count")),
        "max_position_embeddings": file.get("context_length"),
        "rms_norm_eps": file.get("attention.layer_norm_rms_epsilon"),
        "rope_theta": file.get("rope.freq_base"),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in file.tensors,
    }
    if isinstance(values["num_hidden_layers"], int) and values["num_hidden_layers"] > len(file.tensors):
        raise UserError("the header claims more layers than there are tensors", where=file.path)
    given = {name: value for name, value in values.items() if value is not None}
    return read_family_config(family, given, file.path)


def _interleaved_heads(ours: str, family: Family, config: TransformerConfig) -> int | None:
    """How many heads the rows of a reordered tensor make; None for all other tensors."""
    module = ours.rpartition(".")[0]
    if not module.endswith(family.gguf_interleaved) or not family.gguf_interleaved:
        return None
    return config.kv_heads if module.endswith("key") else config.attention.heads


def split_halves(tensor: Tensor, heads: int) -> Tensor:
    """Rows of neighbouring pairs to rows of two halves, head by head."""
    return tensor.view(heads, -1, 2, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def join_pairs(tensor: Tensor, heads: int) -> Tensor:
    """The inverse of `split_halves`."""
    return tensor.view(heads, 2, -1, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def save_gguf(
    module: nn.Module, tokenizer: Tokenizer, path: Path | str, type: str = "f16", name: str = "fourfold"
) -> None:
    """Write a GGUF file that llama.cpp runs: weights as f32, f16, bf16 or q8_0, tokenizer, chat template."""
    if type not in SAVED:
        raise unknown_name("GGUF weight type", type, SAVED)
    family = family_for(module.config) if isinstance(module, TransformerLM) else None
    if family is None or not isinstance(module, TransformerLM):
        raise UserError("GGUF has no architecture for this model", advice="Save it as a folder instead.")
    state = module.state_dict()
    if any(".deltas." in key for key in state):
        raise UserError("the model carries an adapter", advice="Merge it first.")
    config = module.config
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise UserError(
            "the tokenizer has more tokens than the model",
            expected=f"at most {config.vocabulary_size}",
            got=tokenizer.vocabulary_size,
        )
    metadata = {
        **_metadata(config, family, name),
        "general.file_type": FILE_TYPES[type],
        "general.quantization_version": 2,
        **to_gguf(tokenizer, config.vocabulary_size),
    }
    plans = []
    for ours, tensor in state.items():
        theirs = family.gguf.theirs(ours)
        assert theirs is not None, ours
        values = partial(_values, tensor, _interleaved_heads(ours, family, config))
        plans.append(TensorPlan(theirs, tuple(tensor.shape), _stored_type(tensor, SAVED[type]), values))
    write_gguf(Path(path), metadata, plans)


def _values(tensor: Tensor, heads: int | None) -> Tensor:
    values = tensor.detach().cpu().float()
    return values if heads is None else join_pairs(values, heads)


def _stored_type(tensor: Tensor, wanted: int) -> int:
    """Vectors stay fp32 as llama.cpp has them; rows that do not fill blocks stay f16."""
    if tensor.dim() == 1:
        return F32
    return wanted if tensor.shape[-1] % FORMATS[wanted].values == 0 else F16


def _metadata(config: TransformerConfig, family: Family, name: str) -> dict[str, Any]:
    assert isinstance(config.positions, Rotary)
    section: dict[str, Any] = {
        "vocab_size": config.vocabulary_size,
        "block_count": config.layers,
        "context_length": config.context,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.feed_forward.size,
        "attention.head_count": config.attention.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_size,
        "attention.value_length": config.head_size,
        "attention.layer_norm_rms_epsilon": float(config.norm.epsilon),
        "rope.dimension_count": config.head_size,
        "rope.freq_base": float(config.positions.base),
    }
    general = {"general.architecture": family.name, "general.type": "model", "general.name": name}
    return {**general, **{f"{family.name}.{key}": value for key, value in section.items()}}
