"""GGUF files as models: the table of an architecture, both ways, tensor by tensor."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fourfold.errors import UserError, unknown_name
from fourfold.kernels import LowBit
from fourfold.models.files.folder import SENSELESS, fill, make_empty, own_tensors
from fourfold.models.files.gguf_blocks import BF16, F16
from fourfold.models.files.gguf_packed import PACKED, pack_rows
from fourfold.models.files.gguf_plan import interleaved_heads, plan_gguf, split_halves
from fourfold.models.files.gguf_quantize import SAVED
from fourfold.models.files.gguf_reader import GGUF, read_gguf
from fourfold.models.files.gguf_writer import write_gguf
from fourfold.models.interop import GGUF_ARCHITECTURES as ARCHITECTURES
from fourfold.models.interop import ROPE_FACTORS as FACTORS
from fourfold.models.interop import Architecture, Section, fused_name, fused_parts, read_gguf_config
from fourfold.models.linear import hold, is_packed, make_dense, places_to_pack
from fourfold.models.packed import LargePages, Packed
from fourfold.models.transformer import TransformerConfig, TransformerLM
from fourfold.tokenizers import Tokenizer, to_gguf

PLAIN = {F16: torch.float16, BF16: torch.bfloat16}


class GGUFModel(NamedTuple):
    """A GGUF file understood, its weights not yet read."""

    config: TransformerConfig
    weights: Weights
    metadata: dict[str, Any]


def load_gguf(
    path: Path | str, dtype: torch.dtype = torch.float32, *, packed: bool = False
) -> tuple[TransformerLM, dict[str, Any]]:
    """The model in a GGUF file, unpacked to `dtype`, and the file's metadata (for `from_gguf`).

    `packed`: matrices whose type our kernels know stay as they are in the file, the rest is in `dtype`.
    """
    config, weights, metadata = open_gguf(path, dtype)
    model = make_empty(config)
    kept = dict(_packed(model, weights)) if packed else {}
    found = {name: _stand_in(kept[name]) if name in kept else weights[name] for name in weights}
    model = fill(model, found, Path(path), weights.name_in_file)
    assert isinstance(model, TransformerLM)
    for name, matrix in kept.items():
        hold(model, name.removesuffix(".weight"), Packed(matrix))
    return model, metadata


def stays_packed(path: Path | str) -> bool:
    """Whether the file has matrices that our kernels take as they are."""
    return any(info.type in PACKED and len(info.shape) > 1 for info in read_gguf(path).tensors.values())


def _packed(model: nn.Module, weights: Weights) -> Iterator[tuple[str, LowBit]]:
    """The matrices that stay packed, by the names of their weights. What was read of the file is let go at once."""
    pages = LargePages()
    for name in places_to_pack(model):
        if f"{name}.weight" in weights:
            matrix = weights.packed(f"{name}.weight", pages)
            if matrix is not None and (matrix.rows, matrix.columns) == model.get_parameter(f"{name}.weight").shape:
                yield f"{name}.weight", matrix
                weights.let_go(f"{name}.weight")


def _stand_in(matrix: LowBit) -> Tensor:
    return torch.empty(matrix.rows, matrix.columns, device="meta")


def open_gguf(path: Path | str, dtype: torch.dtype = torch.float32) -> GGUFModel:
    """Read what a GGUF file says of itself; UserError when we do not know its architecture or it makes no sense."""
    file = read_gguf(path)
    if file.architecture not in ARCHITECTURES:
        raise unknown_name("model architecture", file.architecture, ARCHITECTURES, file.path)
    architecture = ARCHITECTURES[file.architecture]
    shapes = {name: info.shape for name, info in file.tensors.items()}
    factors = file.tensor(FACTORS) if FACTORS in file.tensors else None
    keys = Section(architecture.name, file.metadata, file.path)
    try:
        config = read_gguf_config(architecture, keys, shapes, factors)
    except SENSELESS as error:
        raise UserError("a key of the header makes no sense", where=file.path, got=str(error)) from None
    return GGUFModel(config, Weights(file, architecture, config, dtype), file.metadata)


class Place(NamedTuple):
    """Where one of our parameters lies: a tensor of the file, or some of its rows."""

    name: str
    rows: slice


class Weights(Mapping[str, Tensor]):
    """The tensors of a file by our names and in our order of rows; a tensor we have no name for keeps its own."""

    def __init__(self, file: GGUF, architecture: Architecture, config: TransformerConfig, dtype: torch.dtype) -> None:
        self.file = file
        self.architecture = architecture
        self.config = config
        self.dtype = dtype
        self._places = dict(self._find_places())

    def _find_places(self) -> Iterator[tuple[str, Place]]:
        heads, kv_heads, size = self.config.attention.heads, self.config.kv_heads, self.config.head_size
        counts = [heads * size, kv_heads * size, kv_heads * size]
        for name in self.file.tensors:
            found = (fused_parts(fused, name) for fused in self.architecture.fused)
            parts = next((parts for parts in found if parts is not None), None)
            if parts is not None:
                ends = [sum(counts[: end + 1]) for end in range(len(counts))]
                yield from (
                    (part, Place(name, slice(end - count, end)))
                    for part, count, end in zip(parts, counts, ends, strict=True)
                )
            elif name != FACTORS:
                yield self.architecture.names.ours(name) or name, Place(name, slice(None))

    def name_in_file(self, ours: str) -> str:
        """What such a file calls the tensor that `ours` is, or is a part of; `ours` where it has no name."""
        if ours in self._places:
            return self._places[ours].name
        whole = next(filter(None, (fused_name(fused, ours) for fused in self.architecture.fused)), None)
        return whole or self.architecture.names.theirs(ours) or ours

    def place(self, ours: str) -> Place:
        return self._places[ours]

    def __getitem__(self, ours: str) -> Tensor:
        name, rows = self._places[ours]
        offset = self.architecture.offset(ours)
        if offset:  # taken off before rounding: the file's sum has more digits than either
            return self.file.tensor(name, torch.float32, rows).sub_(offset).to(self.dtype)
        tensor = self.file.tensor(name, self.dtype, rows)
        heads = interleaved_heads(ours, self.architecture, self.config)
        return tensor if heads is None or tensor.shape[0] % (2 * heads) else split_halves(tensor, heads)

    def packed(self, ours: str, pages: LargePages) -> LowBit | None:
        """A matrix as it is in the file, its rows in our order; None when it has to be unpacked."""
        name, rows = self._places[ours]
        info = self.file.tensors[name]
        if info.type not in PACKED or len(info.shape) != 2 or self.architecture.offset(ours):
            return None
        raw = self.file.raw(name, rows).view(len(range(info.shape[0])[rows]), -1)
        heads = interleaved_heads(ours, self.architecture, self.config)
        if heads is not None and raw.shape[0] % (2 * heads) == 0:
            raw = split_halves(raw, heads)
        return pack_rows(raw, info.type, info.shape[1], pages)

    def let_go(self, ours: str) -> None:
        """The memory that its part of the mapped file takes."""
        self.file.let_go(*self._places[ours])

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all tensors; no number is read."""
        shapes = {}
        for ours, (name, rows) in self._places.items():
            first, *rest = self.file.tensors[name].shape
            shapes[ours] = (len(range(first)[rows]), *rest)
        return shapes

    @property
    def stored_dtype(self) -> torch.dtype:
        """The plain type all matrices have, or fp32, which holds the values of every packed type exactly."""
        kinds = {info.type for info in self.file.tensors.values() if len(info.shape) > 1}
        return PLAIN.get(next(iter(kinds)), torch.float32) if len(kinds) == 1 else torch.float32

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def save_gguf(
    module: nn.Module, tokenizer: Tokenizer, path: Path | str, type: str = "f16", name: str = "fourfold"
) -> None:
    """Write a GGUF file that llama.cpp runs: weights in one of the `SAVED` types, tokenizer, chat template."""
    if not isinstance(module, TransformerLM):
        raise UserError("GGUF has no architecture for this model", advice="Save it as a folder instead.")
    state = own_tensors(make_dense(copy.deepcopy(module)) if is_packed(module) else module)
    if any(".deltas." in key for key in state):
        raise UserError("the model carries an adapter", advice="Merge it first.")
    save_weights_as_gguf(module.config, state, tokenizer, path, type, name)


def save_weights_as_gguf(
    config: TransformerConfig,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    path: Path | str,
    type: str = "f16",
    name: str = "fourfold",
) -> None:
    """`save_gguf` of weights that need not be in memory: each is asked for when its turn comes."""
    if type not in SAVED:
        raise unknown_name("GGUF weight type", type, SAVED)
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise UserError(
            "the tokenizer has more tokens than the model",
            expected=f"at most {config.vocabulary_size}",
            got=tokenizer.vocabulary_size,
        )
    plan = plan_gguf(config, weights, type)
    metadata = {"general.architecture": plan.architecture, "general.type": "model", "general.name": name}
    write_gguf(Path(path), {**metadata, **plan.metadata, **to_gguf(tokenizer, config.vocabulary_size)}, plan.tensors)
