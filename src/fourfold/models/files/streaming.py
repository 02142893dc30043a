"""Model folders written tensor by tensor: only one is in memory at a time, whatever the size of the model.

A safetensors file begins with the length of its header (8 bytes) and the header, JSON that gives each tensor's type,
shape and place; so shapes and types are needed first, the numbers not.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.files import atomic_file, write_json
from fourfold.models.families import family_for
from fourfold.models.files.folder import make_empty, own_tensors
from fourfold.models.files.own import write_own
from fourfold.models.files.tensors import INDEX, SHARD_BYTES, WEIGHTS, check_tensors, is_finite
from fourfold.models.interop import Family, fused_name, to_file
from fourfold.models.transformer import TransformerConfig
from fourfold.progress import Task, task

TYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
MEGABYTE = 1e6
PART = 1 << 20
"""Values rounded and written together."""


class Piece(NamedTuple):
    """A tensor to write; its values are asked for only when their turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    values: Callable[[], Tensor]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def check_names(
    shapes: Mapping[str, tuple[int, ...]], config: TransformerConfig, where: Path, named: Callable[[str], str]
) -> None:
    """Raise one UserError that names the tensors missing, left over or misshaped; no number is read.

    The shapes go by our names; `named` turns one into the file's.
    """
    found = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    check_tensors(found, own_tensors(make_empty(config)), where, named)


def stream_folder(
    config: TransformerConfig,
    weights: Mapping[str, Tensor],
    folder: Path,
    dtype: torch.dtype | None = None,
    extra_config: Mapping[str, Any] | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """`save_model` of weights that need not be in memory: each is asked for when its turn comes.

    Without `dtype` each keeps its own, for which it must be cheap to ask for.
    """
    family = family_for(config)
    keys = write_own(config) if family is None else family.express(config)
    assert keys is not None
    pieces = _pieces(family, config, weights, dtype)
    shards: list[list[Piece]] = [[]]
    for piece in pieces:
        if shards[-1] and sum(other.size for other in shards[-1]) + piece.size > shard_bytes:
            shards.append([])
        shards[-1].append(piece)
    names = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    total = sum(piece.size for piece in pieces)
    with task("writing", total / MEGABYTE, "MB") as work:
        for name, shard in zip(names, shards, strict=True):
            write_stream(folder / (name if len(shards) > 1 else WEIGHTS), shard, work)
    if len(shards) > 1:
        where = {piece.name: name for name, shard in zip(names, shards, strict=True) for piece in shard}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    kind = {"dtype": str(pieces[0].dtype).removeprefix("torch.")}
    # A family's own token ids mean something: RoBERTa's padding id moves the positions.
    own_ids = {key: value for key, value in keys.items() if key.endswith("_token_id")}
    write_json(folder / "config.json", {**keys, **kind, **dict(extra_config or {}), **own_ids})


def write_stream(path: Path, pieces: Iterable[Piece], work: Task) -> None:
    """Write one safetensors file, atomically; a value that is not a number raises a UserError."""
    # The order of the `safetensors` package: by name within a type.
    ordered = sorted(pieces, key=lambda piece: (-piece.dtype.itemsize, piece.name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for piece in ordered:
        place = {"dtype": TYPE_NAMES[piece.dtype], "shape": list(piece.shape)}
        header[piece.name] = place | {"data_offsets": [offset, offset + piece.size]}
        offset += piece.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_file(path) as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for piece in ordered:
            values = piece.values()
            assert tuple(values.shape) == piece.shape, piece.name
            for part in torch.split(values.reshape(-1), PART):
                if not is_finite(part):
                    raise UserError(f"tensor {piece.name} has values that are not numbers", where=path.parent)
                stream.write(part.to(piece.dtype).view(torch.uint8).numpy().data)
            work.advance(piece.size / MEGABYTE)


def _pieces(
    family: Family | None, config: TransformerConfig, weights: Mapping[str, Tensor], dtype: torch.dtype | None
) -> list[Piece]:
    """The tensors of the file, each of one of our parameters or of several that it fuses."""
    empty = own_tensors(make_empty(config))
    if family is None:
        return [
            Piece(name, tuple(t.shape), dtype or weights[name].dtype, partial(weights.__getitem__, name))
            for name, t in empty.items()
        ]
    groups: dict[str, list[str]] = {}
    for ours in empty:
        wholes = (fused_name(fused, ours) for fused in family.fused)
        groups.setdefault(next(filter(None, wholes), ours), []).append(ours)
    pieces = []
    for group in groups.values():
        ((name, shaped),) = to_file(family, config, {ours: empty[ours] for ours in group}).items()
        values = partial(_together, family, config, weights, group, name)
        pieces.append(Piece(name, tuple(shaped.shape), dtype or weights[group[0]].dtype, values))
    return pieces


def _together(
    family: Family, config: TransformerConfig, weights: Mapping[str, Tensor], group: list[str], name: str
) -> Tensor:
    return to_file(family, config, {ours: weights[ours].detach().cpu() for ours in group})[name]
