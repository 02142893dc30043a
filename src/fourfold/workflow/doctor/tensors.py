"""Tensors on disk as the doctor sees them: places first, rows when asked for, never a whole file in memory.

The headers of safetensors files are read by our own code: a damaged header should end in a finding for each thing
that is wrong with it, where a library stops at the first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fourfold.models.files import GGUF, block_format

HEADER_BYTES = 25_000_000
TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
PACKED = frozenset({"I64", "I32", "I16", "I8", "U8", "BOOL"})
"""Types whose numbers are codes, counts or masks rather than weights."""
MOST_DIMENSIONS = 8


class Stored(NamedTuple):
    """One tensor of a file."""

    shape: tuple[int, ...]
    type: str
    """As the format writes it: F32, BF16, Q4_K."""
    file: Path
    offset: int = 0
    """Of its first byte in the file."""
    whole: bool = True
    """False when the file ends before it does."""

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)

    @property
    def is_matrix(self) -> bool:
        """BART keeps a bias as a matrix of one row, which is none."""
        return sum(size > 1 for size in self.shape) > 1

    @property
    def is_number(self) -> bool:
        return self.type not in PACKED


class Tensors(Protocol):
    """The tensors of a model."""

    entries: Mapping[str, Stored]

    def rows(self, name: str, start: int, end: int) -> Tensor:
        """Some rows (along the first dimension) in fp32; a vector's rows are its values."""


class HeaderError(ValueError):
    """A safetensors header is wrong; the message says how."""


class SafeTensors:
    """The tensors of safetensors files whose headers were read."""

    def __init__(self, entries: Mapping[str, Stored]) -> None:
        self.entries = entries

    def rows(self, name: str, start: int, end: int) -> Tensor:
        entry = self.entries[name]
        dtype = TYPES[entry.type]
        shape = entry.shape or (1,)
        width = math.prod(shape[1:])
        row = width * dtype.itemsize
        # Mapped anew each time, so that the pages go with what was read. Copy on write: torch wants writable memory.
        raw: np.memmap[Any, Any] = np.memmap(
            entry.file, dtype=np.uint8, mode="c", offset=entry.offset + start * row, shape=((end - start) * row,)
        )
        values = torch.from_numpy(raw)
        aligned = values if values.data_ptr() % dtype.itemsize == 0 else values.clone()
        return aligned.view(dtype).float().reshape(-1, *shape[1:])


class GGUFTensors:
    """The tensors of a GGUF file."""

    def __init__(self, file: GGUF) -> None:
        self.file = file
        self.entries: Mapping[str, Stored] = {
            name: Stored(info.shape, block_format(info.type).name, file.path, info.offset)
            for name, info in file.tensors.items()
        }

    def rows(self, name: str, start: int, end: int) -> Tensor:
        entry = self.entries[name]
        if len(entry.shape) == 1:  # of a packed vector there is no single value to ask for
            return self.file.tensor(name)[start:end]
        return self.file.tensor(name, rows=slice(start, end))


class Header(NamedTuple):
    """What a safetensors file says it holds."""

    entries: dict[str, Stored]
    misplaced: dict[str, str]
    """Tensors whose entry makes no sense, and why."""
    lacking: int
    """Bytes that the file should still have; below 0: bytes after the last tensor."""


def read_header(path: Path) -> Header:
    """The tensors of a safetensors file; HeaderError when none can be told at all."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        claimed = int.from_bytes(stream.read(8), "little")
        if size < 8 or claimed > size - 8:
            raise HeaderError(f"its header claims {claimed:,} bytes, the file has {size:,}")
        if claimed > HEADER_BYTES:
            raise HeaderError(f"its header claims {claimed:,} bytes, which no model needs")
        text = stream.read(claimed)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"its header is not JSON ({str(error)[:80]})") from None
    if not isinstance(header, dict):
        raise HeaderError("its header is not a table of tensors")
    data = size - 8 - claimed
    entries: dict[str, Stored] = {}
    misplaced: dict[str, str] = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            stored, span = _entry(entry, path, 8 + claimed)
        except HeaderError as error:
            misplaced[name] = str(error)
        else:
            spans.append((*span, name))
            entries[name] = stored._replace(whole=span[1] <= data)
    end = max((span[1] for span in spans), default=0)
    return Header(entries, misplaced | dict(_gaps(spans)), end - data if not misplaced else max(end - data, 0))


def _entry(entry: Any, path: Path, start: int) -> tuple[Stored, tuple[int, int]]:
    if not isinstance(entry, dict):
        raise HeaderError("not a description of a tensor")
    shape, span, type = _whole(entry.get("shape")), _whole(entry.get("data_offsets")), entry.get("dtype")
    if shape is None or span is None or len(span) != 2 or len(shape) > MOST_DIMENSIONS:
        raise HeaderError("no sensible shape or place")
    if not isinstance(type, str) or type not in TYPES:
        raise HeaderError(f"unknown type {str(type)[:20]}")
    needed = math.prod(shape) * TYPES[type].itemsize
    if span[1] - span[0] != needed:
        raise HeaderError(f"{needed:,} bytes by its shape, {span[1] - span[0]:,} by its place")
    return Stored(tuple(shape), type, path, start + span[0]), (span[0], span[1])


def _whole(value: Any) -> list[int] | None:
    """A list of sizes, or None for anything else."""
    sizes = isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 62 for item in value)
    return value if sizes else None


def _gaps(spans: list[tuple[int, int, str]]) -> Iterator[tuple[str, str]]:
    """Tensors lie one after another."""
    at = 0
    for begin, end, name in sorted(spans):
        if begin != at:
            yield name, "it overlaps the tensor before it" if begin < at else "a hole lies before it"
        at = max(at, end)


EMBEDDINGS = (
    "embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight", "shared.weight",
    "token_embd.weight", "tok_embeddings.weight", "embedding.weight",
)  # fmt: skip
HEADS = (
    "lm_head.weight", "embed_out.weight", "output_layer.weight", "head.projection.weight",
    "cls.predictions.decoder.weight", "lm_head.decoder.weight", "vocab_projector.weight",
    "generator_lm_head.weight",
)  # fmt: skip


def find_embedding(entries: Mapping[str, Stored]) -> str | None:
    """The token embedding, by the names that families give it."""
    return _ending(entries, EMBEDDINGS)


def find_head(entries: Mapping[str, Stored]) -> str | None:
    """The matrix that makes the logits, where the file holds one."""
    whole = "output.weight"  # GGUF's; as an ending it is also the attention's
    return whole if whole in entries else _ending(entries, HEADS)


def _ending(entries: Mapping[str, Stored], ends: tuple[str, ...]) -> str | None:
    named = (name for end in ends for name in entries if name == end or name.endswith(f".{end}"))
    return next((name for name in named if len(entries[name].shape) == 2), None)
