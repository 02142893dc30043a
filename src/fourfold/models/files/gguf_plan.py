"""What a GGUF file of a model holds: its architecture, header, and each tensor's name, type and order of rows.

llama.cpp rotates neighbouring values, Hugging Face (and we) the two halves of a head. Files of some architectures
therefore have the rows of query and key reordered.

Types follow llama.cpp's habits: vectors and position tables are f32; where the rows of a matrix do not fill blocks
of 256, q4_k becomes q5_0, and where they do not fill blocks of 32 either, f16. The matrix that makes the logits
(the embedding, if tied) matters most: in q4_0 and q4_k files it is q8_0, where llama.cpp takes q6_k.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.models.files.folder import make_empty, own_tensors
from fourfold.models.files.gguf_blocks import F16, F32, FORMATS, Q4_0, Q4_K, Q5_0, Q8_0
from fourfold.models.files.gguf_quantize import SAVED
from fourfold.models.files.gguf_writer import TensorPlan
from fourfold.models.interop import GGUF_ARCHITECTURES as ARCHITECTURES
from fourfold.models.interop import ROPE_FACTORS as FACTORS
from fourfold.models.interop import Architecture, fused_name, fused_parts, rope_factors, write_gguf_config
from fourfold.models.transformer import TransformerConfig
from fourfold.progress import say

FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "q4_k": 14, "bf16": 32}
"""`general.file_type`, which llama.cpp shows."""

FALLBACKS = {Q4_K: Q5_0, Q5_0: F16, Q4_0: F16, Q8_0: F16}
"""The next type to try when rows do not fill the blocks of one."""


class Plan(NamedTuple):
    """A file to write."""

    architecture: str
    metadata: dict[str, Any]
    tensors: list[TensorPlan]


def plan_gguf(config: TransformerConfig, weights: Mapping[str, Tensor], type: str) -> Plan:
    """The file of a model; `weights` by our names are asked for when they are written."""
    shapes = {name: tuple(tensor.shape) for name, tensor in own_tensors(make_empty(config)).items()}
    architecture, metadata = architecture_for(config, shapes)
    plans: list[TensorPlan] = []
    for ours, shape in shapes.items():
        parts = _written_together(architecture, ours)
        if parts[0] != ours:
            continue
        theirs = _name(architecture, ours)
        assert theirs is not None, ours
        rows = sum(shapes[part][0] for part in parts)
        kind = _stored_type(theirs, (rows, *shape[1:]), SAVED[type], config)
        plans.append(
            TensorPlan(theirs, (rows, *shape[1:]), kind, partial(_values, weights, parts, architecture, config))
        )
    factors = rope_factors(config)
    if factors is not None:
        plans.append(TensorPlan(FACTORS, tuple(factors.shape), F32, lambda: factors))
    _tell_fallbacks(plans, type)
    return Plan(
        architecture.name, {**metadata, "general.file_type": FILE_TYPES[type], "general.quantization_version": 2}, plans
    )


def architecture_for(config: TransformerConfig, shapes: Mapping[str, Any]) -> tuple[Architecture, dict[str, Any]]:
    """The first architecture of llama.cpp that computes what the configuration says, and its header."""
    for architecture in ARCHITECTURES.values():
        names = {_name(architecture, ours) for ours in shapes}
        if None in names:
            continue
        metadata = write_gguf_config(architecture, config, {name for name in names if name is not None})
        if metadata is not None:
            return architecture, metadata
    raise UserError("GGUF has no architecture for this model", advice="Save it as a folder instead.")


def _written_together(architecture: Architecture, ours: str) -> tuple[str, ...]:
    """Our parameters that are one tensor of the file, this one among them."""
    for fused in architecture.fused if architecture.writes_fused else ():
        whole = fused_name(fused, ours)
        if whole is not None:
            return fused_parts(fused, whole) or (ours,)
    return (ours,)


def _name(architecture: Architecture, ours: str) -> str | None:
    for fused in architecture.fused if architecture.writes_fused else ():
        whole = fused_name(fused, ours)
        if whole is not None:
            return whole
    return architecture.names.theirs(ours)


def _values(
    weights: Mapping[str, Tensor], parts: tuple[str, ...], architecture: Architecture, config: TransformerConfig
) -> Tensor:
    tensors = []
    for ours in parts:
        tensor, heads = weights[ours].detach().cpu(), interleaved_heads(ours, architecture, config)
        offset = architecture.offset(ours)
        tensor = tensor.float() + offset if offset else tensor
        tensors.append(tensor if heads is None else join_pairs(tensor, heads))
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _stored_type(name: str, shape: tuple[int, ...], wanted: int, config: TransformerConfig) -> int:
    if len(shape) == 1 or name == "position_embd.weight":
        return F32
    makes_logits = name == ("token_embd.weight" if config.tied_embeddings else "output.weight")
    kind = Q8_0 if makes_logits and wanted in (Q4_0, Q4_K) else wanted
    while shape[-1] % FORMATS[kind].values:
        kind = FALLBACKS[kind]
    return kind


def _tell_fallbacks(plans: list[TensorPlan], type: str) -> None:
    values = FORMATS[SAVED[type]].values
    fallen = Counter(FORMATS[plan.type].name for plan in plans if len(plan.shape) > 1 and plan.shape[-1] % values)
    for name, count in fallen.items():
        say(f"{count} matrices whose rows do not fill blocks of {values} are stored as {name.lower()}")


def interleaved_heads(ours: str, architecture: Architecture, config: TransformerConfig) -> int | None:
    """How many heads the rows of a reordered tensor make; None for all other tensors."""
    module = ours.rpartition(".")[0]
    if not architecture.interleaved or not module.endswith(architecture.interleaved):
        return None
    return config.kv_heads if module.endswith("key") else config.attention.heads


def split_halves(tensor: Tensor, heads: int) -> Tensor:
    """Rows of neighbouring pairs to rows of two halves, head by head."""
    return tensor.view(heads, -1, 2, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def join_pairs(tensor: Tensor, heads: int) -> Tensor:
    """The inverse of `split_halves`."""
    return tensor.reshape(heads, 2, -1, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)
