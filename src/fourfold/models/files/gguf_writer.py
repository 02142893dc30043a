"""Write a GGUF file (version 3), tensor by tensor."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.files import atomic_file
from fourfold.models.files.gguf_blocks import FORMATS
from fourfold.models.files.gguf_quantize import quantized_parts
from fourfold.models.files.gguf_reader import ARRAY, MAGIC, STRING
from fourfold.progress import task

ALIGNMENT = 32
PART = 1 << 20
"""Values looked at together for what is not a number."""

UINT32, INT32, FLOAT32, BOOL, UINT64 = 4, 5, 6, 7, 10
_CODES = {UINT32: "I", INT32: "i", FLOAT32: "f", BOOL: "?", UINT64: "Q"}


class TensorPlan(NamedTuple):
    """A tensor to write; its values are asked for only when their turn comes."""

    name: str
    shape: tuple[int, ...]
    type: int
    values: Callable[[], Tensor]

    @property
    def size(self) -> int:
        form = FORMATS[self.type]
        return math.prod(self.shape) // form.values * form.bytes


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Sequence[TensorPlan]) -> None:
    """Write metadata (bool, int, float, str and lists of them) and tensors."""
    with atomic_file(path) as stream:
        stream.write(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, value in metadata.items():
            stream.write(_string(key) + _value(value))
        offset = 0
        for tensor in tensors:
            shape = tensor.shape[::-1]
            stream.write(_string(tensor.name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
            stream.write(struct.pack("<IQ", tensor.type, offset))
            offset += _padded(tensor.size)
        stream.write(b"\0" * (_padded(stream.tell()) - stream.tell()))
        with task("writing", offset / 1e6, "MB") as work:
            for tensor in tensors:
                _write_values(stream, tensor, path)
                work.advance(_padded(tensor.size) / 1e6)


def _write_values(stream: IO[bytes], tensor: TensorPlan, path: Path) -> None:
    """Values are packed and written in small parts: never a whole tensor more than the one asked for."""
    written = 0
    for values in torch.split(tensor.values().detach().reshape(-1), PART):
        if not bool(values.isfinite().all()):
            raise UserError(f"tensor {tensor.name} has values that are not numbers", where=path)
        for part in quantized_parts(values, tensor.type):
            written += stream.write(part.numpy().data)
    assert written == tensor.size, tensor.name
    stream.write(b"\0" * (_padded(tensor.size) - tensor.size))


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _kind(value: object) -> int:
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return UINT32 if 0 <= value < 1 << 32 else UINT64
    if isinstance(value, float):
        return FLOAT32
    assert isinstance(value, str), value
    return STRING


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if not isinstance(value, list):
        return struct.pack("<I" + _CODES[_kind(value)], _kind(value), value)
    # Lists of whole numbers are token types, which llama.cpp wants signed.
    kind = INT32 if value and _kind(value[0]) == UINT32 else _kind(value[0] if value else "")
    header = struct.pack("<IIQ", ARRAY, kind, len(value))
    if kind == STRING:
        return header + b"".join(map(_string, value))
    return header + struct.pack(f"<{len(value)}{_CODES[kind]}", *value)
