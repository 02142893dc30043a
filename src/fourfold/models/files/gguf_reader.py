"""Read a GGUF file: metadata at once, tensors one by one from a memory map.

The header is read by our own code, because every count in it comes from a stranger: a
truncated file or an absurd count is refused with a sentence, before memory is taken.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.models.files.gguf_blocks import block_format, dequantize

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
MOST_ELEMENTS = 1 << 24
"""The longest metadata array we accept; the largest vocabularies have a million entries."""
MOST_DIMENSIONS = 4
ALL = slice(None)
_LENGTH = struct.Struct("<Q")


class TensorInfo(NamedTuple):
    """Where a tensor lies and how it is packed."""

    shape: tuple[int, ...]
    """Outermost first, as torch has it; GGUF stores the reverse."""
    type: int
    """The number of its ggml type, see `gguf_blocks`."""
    offset: int
    """Of its first byte, from the start of the file."""
    size: int
    """In bytes."""


class GGUF:
    """An open GGUF file: `metadata`, `tensors`, and `tensor(name)` for the numbers."""

    def __init__(self, path: Path, data: np.memmap[Any, Any], metadata: dict[str, Any], tensors: dict[str, TensorInfo]):
        self.path = path
        self.metadata = metadata
        self.tensors = tensors
        self._data = data

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    def get(self, key: str, default: Any = None) -> Any:
        """A value of the architecture's own section, `llama.block_count` by "block_count"."""
        return self.metadata.get(f"{self.architecture}.{key}", default)

    def tensor(self, name: str, dtype: torch.dtype = torch.float32, rows: slice = ALL) -> Tensor:
        """The values of a tensor or of some of its rows, exact in fp32."""
        info = self.tensors[name]
        return dequantize(self.raw(name, rows), info.type, dtype).reshape(-1, *info.shape[1:])

    def raw(self, name: str, rows: slice = ALL) -> Tensor:
        """The bytes of a tensor or of some of its rows, in the mapped file."""
        return torch.from_numpy(self._data[self._span(name, rows)])

    def let_go(self, name: str, rows: slice = ALL) -> None:
        """Nobody needs these bytes now: their memory is free, and a later look reads the file again."""
        span, page = self._span(name, rows), mmap.PAGESIZE
        first, last = -(-span.start // page) * page, span.stop // page * page
        if last > first and hasattr(mmap, "MADV_DONTNEED") and isinstance(mapped := self._data.base, mmap.mmap):
            mapped.madvise(mmap.MADV_DONTNEED, first, last - first)

    def _span(self, name: str, rows: slice) -> slice:
        info = self.tensors[name]
        start, end, _ = rows.indices(info.shape[0])
        # A packed vector may have fewer bytes than values; only a whole one can be asked for.
        first, last = (info.size * row // info.shape[0] for row in (start, max(start, end)))
        return slice(info.offset + first, info.offset + last)


def read_gguf(path: Path | str) -> GGUF:
    """Open a GGUF file; a damaged one raises a UserError."""
    path = Path(path)
    if not path.is_file():
        raise UserError("no such file", where=path)
    if path.stat().st_size < 24:
        raise UserError("not a GGUF file: shorter than its header", where=path)
    # Copy on write: torch wants writable memory, the file stays as it is.
    data: np.memmap[Any, Any] = np.memmap(path, dtype=np.uint8, mode="c")
    return _Header(path, data).read()


class _Header:
    """A cursor over the bytes of the header that never looks past the end."""

    def __init__(self, path: Path, data: np.memmap[Any, Any]) -> None:
        self.path = path
        self.data = data
        self.bytes = data.data
        self.at = 0

    def read(self) -> GGUF:
        if bytes(self.take(4)) != MAGIC:
            raise UserError("not a GGUF file: the first bytes are not 'GGUF'", where=self.path)
        version = self.scalar("I")
        if version not in (2, 3):
            found = "big-endian" if version & 0xFFFF == 0 else f"version {version}"
            raise UserError(f"a {found} GGUF file is not supported", where=self.path, expected="version 2 or 3")
        tensor_count = self.count(self.scalar("Q"), 24, "tensors")
        pair_count = self.count(self.scalar("Q"), 13, "metadata entries")
        metadata: dict[str, Any] = {}
        for _ in range(pair_count):
            key = self.string()
            metadata[key] = self.value(self.scalar("I"), key)
        entries = [self.tensor_entry() for _ in range(tensor_count)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise UserError("general.alignment is not a power of two", where=self.path, got=alignment)
        start = -(-self.at // alignment) * alignment
        tensors: dict[str, TensorInfo] = {}
        for name, shape, kind, offset in entries:
            if name in tensors:
                raise UserError(f"tensor '{name}' appears twice", where=self.path)
            tensors[name] = self.place(name, shape, kind, start + offset)
        return GGUF(self.path, self.data, metadata, tensors)

    def tensor_entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.string()
        dimensions = self.scalar("I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise UserError(f"tensor '{name}' has an absurd shape", where=self.path, got=f"{dimensions} dimensions")
        shape = tuple(self.scalar("Q") for _ in range(dimensions))[::-1]
        return name, shape, self.scalar("I"), self.scalar("Q")

    def place(self, name: str, shape: tuple[int, ...], kind: int, offset: int) -> TensorInfo:
        form = block_format(kind, where=f"{self.path}: tensor '{name}'")
        if shape[-1] % form.values or 0 in shape:
            raise UserError(
                f"tensor '{name}' has an impossible shape",
                where=self.path,
                expected=f"rows of {form.values}",
                got=shape,
            )
        size = math.prod(shape) // form.values * form.bytes
        if offset + size > len(self.bytes):
            raise UserError(
                f"the file is truncated: tensor '{name}' ends after the file",
                where=self.path,
                expected=f"{offset + size} bytes",
                got=len(self.bytes),
                advice="Download it again.",
            )
        return TensorInfo(shape, kind, offset, size)

    def value(self, kind: int, key: str) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self.array(key)
        if kind not in SCALARS:
            raise UserError(f"metadata '{key}' has an unknown type", where=self.path, got=kind)
        value = self.scalar(SCALARS[kind])
        # The shortest decimal that is this fp32 number: 1e-05 rather than 9.999999747378752e-06.
        return float(str(np.float32(value))) if SCALARS[kind] == "f" else value

    def array(self, key: str) -> list[Any]:
        kind, length = self.scalar("I"), self.scalar("Q")
        if kind == STRING:
            return self.strings(self.count(length, 8, f"strings in '{key}'"))
        if kind not in SCALARS:
            raise UserError(f"metadata '{key}' is an array of an unsupported type", where=self.path, got=kind)
        code = SCALARS[kind]
        length = self.count(length, struct.calcsize("<" + code), f"values in '{key}'")
        raw = self.take(length * struct.calcsize("<" + code))
        return list(struct.unpack(f"<{length}{code}", raw))

    def count(self, count: int, least: int, what: str) -> int:
        """A count of things of at least so many bytes each, which the rest of the file can hold."""
        if count > MOST_ELEMENTS or count * least > len(self.bytes) - self.at:
            raise UserError(f"the header claims {count} {what}, more than the file can hold", where=self.path)
        return count

    def string(self) -> str:
        return self.strings(1)[0]

    def strings(self, count: int) -> list[str]:
        """So many strings, in one tight loop: a vocabulary has hundreds of thousands."""
        found, at, end = [], self.at, len(self.bytes)
        try:
            for _ in range(count):
                (size,) = _LENGTH.unpack_from(self.bytes, at)
                at += 8 + size
                if at > end:
                    raise self.truncated()
                found.append(str(self.bytes[at - size : at], "utf-8"))
        except struct.error:
            raise self.truncated() from None
        except UnicodeDecodeError:
            raise UserError(f"a string in the header is not UTF-8, at byte {at - size}", where=self.path) from None
        self.at = at
        return found

    def scalar(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def take(self, size: int) -> memoryview:
        if size > len(self.bytes) - self.at:
            raise self.truncated()
        self.at += size
        return self.bytes[self.at - size : self.at]

    def truncated(self) -> UserError:
        told = "the file is truncated: its header ends after the file"
        return UserError(told, where=self.path, advice="Download it again.")
