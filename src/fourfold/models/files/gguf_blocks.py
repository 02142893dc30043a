"""The packed number formats of GGUF: blocks of values that share a scale.

The plain formats and the simple 4- and 8-bit ones are here, in torch, bit-equal to ggml's
reference. The k-quants and the rest go through the `gguf` package (extra "gguf").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fourfold.errors import UserError

CHUNK = 1 << 15
"""Values unpacked at a time: they stay in the processor's cache, and torch gives so small an operation to one
thread. (With two threads on a busy 2-core machine, unpacking took 10 to 25 times as long.)"""


class BlockFormat(NamedTuple):
    """How many values make a block, and how many bytes it takes."""

    name: str
    values: int
    bytes: int


F32, F16, Q4_0, Q4_1, Q8_0, BF16 = 0, 1, 2, 3, 8, 30
FORMATS = {
    F32: BlockFormat("F32", 1, 4),
    F16: BlockFormat("F16", 1, 2),
    Q4_0: BlockFormat("Q4_0", 32, 18),
    Q4_1: BlockFormat("Q4_1", 32, 20),
    Q8_0: BlockFormat("Q8_0", 32, 34),
    BF16: BlockFormat("BF16", 1, 2),
}
SAVED = {"f32": F32, "f16": F16, "bf16": BF16, "q8_0": Q8_0}
"""The types `save_gguf` writes, by the name a user gives."""


def block_format(kind: int, where: object = None) -> BlockFormat:
    """The format of a ggml type number."""
    if kind in FORMATS:
        return FORMATS[kind]
    try:
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import _type_traits
    except ImportError:
        raise UserError(
            "this quantization needs the 'gguf' package",
            where=where,
            got=f"type {kind}",
            advice="pip install 'fourfold[gguf]'",
        ) from None
    known = {int(member): member for member in GGMLQuantizationType}
    if kind not in known or known[kind] not in _type_traits:
        raise UserError("unknown or unsupported quantization", where=where, got=f"type {kind}")
    return BlockFormat(known[kind].name, *GGML_QUANT_SIZES[known[kind]])


def dequantize(raw: Tensor, kind: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The values of a run of blocks given as (bytes,) uint8: exact in fp32, then rounded to `dtype`."""
    form = block_format(kind)
    unpack = _UNPACK.get(kind) or _library_unpack(kind)
    blocks = raw.view(-1, form.bytes)
    values = torch.empty(blocks.shape[0] * form.values, dtype=dtype)
    step = max(CHUNK // form.values, 1)
    for start in range(0, blocks.shape[0], step):
        part = unpack(blocks[start : start + step])
        values[start * form.values : start * form.values + part.numel()] = part.reshape(-1)
    return values


def _library_unpack(kind: int) -> Callable[[Tensor], Tensor]:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize as library

    def unpack(blocks: Tensor) -> Tensor:
        values: np.ndarray = library(blocks.numpy(), GGMLQuantizationType(kind))
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))

    return unpack


def quantize(values: Tensor, kind: int) -> Tensor:
    """Pack fp32 values as (bytes,) uint8, in one of the `SAVED` types."""
    return _PACK[kind](values.reshape(-1).contiguous())


def _plain(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    def unpack(blocks: Tensor) -> Tensor:
        # A view needs an address that is a multiple of the item size, which a file need not give.
        return (blocks.clone() if blocks.data_ptr() % dtype.itemsize else blocks).view(dtype).float()

    return unpack


def _half(pairs: Tensor) -> Tensor:
    return pairs.contiguous().view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """(N, 16) bytes to (N, 32) values: low halves first, then high halves."""
    return torch.cat([packed & 15, packed >> 4], dim=1).float()


def _unpack_q4_0(blocks: Tensor) -> Tensor:
    return _nibbles(blocks[:, 2:]).sub_(8).mul_(_half(blocks[:, :2]))


def _unpack_q4_1(blocks: Tensor) -> Tensor:
    return _nibbles(blocks[:, 4:]).mul_(_half(blocks[:, :2])).add_(_half(blocks[:, 2:4]))


def _unpack_q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(_half(blocks[:, :2]))


def _pack_q8_0(values: Tensor) -> Tensor:
    blocks = values.float().view(-1, 32)
    scale = blocks.abs().amax(dim=1, keepdim=True) / 127
    scaled = blocks * torch.where(scale == 0, 0, 1 / scale)
    # ggml rounds halves away from zero, torch to even.
    whole = (torch.sign(scaled) * torch.floor(scaled.abs() + 0.5)).to(torch.int8)
    return torch.cat([scale.to(torch.float16).view(torch.uint8), whole.view(torch.uint8)], dim=1).reshape(-1)


_UNPACK: dict[int, Callable[[Tensor], Tensor]] = {
    F32: _plain(torch.float32),
    F16: _plain(torch.float16),
    BF16: _plain(torch.bfloat16),
    Q4_0: _unpack_q4_0,
    Q4_1: _unpack_q4_1,
    Q8_0: _unpack_q8_0,
}
_PACK: dict[int, Callable[[Tensor], Tensor]] = {
    F32: lambda values: values.float().view(torch.uint8),
    F16: lambda values: values.to(torch.float16).view(torch.uint8),
    BF16: lambda values: values.to(torch.bfloat16).view(torch.uint8),
    Q8_0: _pack_q8_0,
}
