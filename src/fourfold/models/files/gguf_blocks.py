"""The packed number formats of GGUF: blocks of values that share a scale, unpacked.

The plain formats and the common 4-, 5-, 6- and 8-bit ones are here, in torch, bit-equal to ggml's
reference. The rest go through the `gguf` package (extra "gguf").
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


F32, F16, Q4_0, Q4_1, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K, BF16 = 0, 1, 2, 3, 6, 8, 12, 13, 14, 30
FORMATS = {
    F32: BlockFormat("F32", 1, 4),
    F16: BlockFormat("F16", 1, 2),
    Q4_0: BlockFormat("Q4_0", 32, 18),
    Q4_1: BlockFormat("Q4_1", 32, 20),
    Q5_0: BlockFormat("Q5_0", 32, 22),
    Q8_0: BlockFormat("Q8_0", 32, 34),
    Q4_K: BlockFormat("Q4_K", 256, 144),
    Q5_K: BlockFormat("Q5_K", 256, 176),
    Q6_K: BlockFormat("Q6_K", 256, 210),
    BF16: BlockFormat("BF16", 1, 2),
}


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
        with np.errstate(all="ignore"):  # damaged scales overflow; what is not a number is told by who looks for it
            values: np.ndarray = library(blocks.numpy(), GGMLQuantizationType(kind))
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))

    return unpack


def _plain(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    def unpack(blocks: Tensor) -> Tensor:
        # A view needs an address that is a multiple of the item size, which a file need not give.
        return (blocks.clone() if blocks.data_ptr() % dtype.itemsize else blocks).view(dtype).float()

    return unpack


def halves(pairs: Tensor) -> Tensor:
    return pairs.contiguous().view(torch.float16).float()


def nibbles(packed: Tensor) -> Tensor:
    """(N, 16) bytes to (N, 32) codes: low halves first, then high halves."""
    return torch.cat([packed & 15, packed >> 4], dim=1)


def _unpack_q4_0(blocks: Tensor) -> Tensor:
    return nibbles(blocks[:, 2:]).float().sub_(8).mul_(halves(blocks[:, :2]))


def _unpack_q4_1(blocks: Tensor) -> Tensor:
    return nibbles(blocks[:, 4:]).float().mul_(halves(blocks[:, :2])).add_(halves(blocks[:, 2:4]))


def _unpack_q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(halves(blocks[:, :2]))


def five_bits_0(blocks: Tensor) -> Tensor:
    """(N, 32) codes of Q5_0, from 0 to 31."""
    fifth = (blocks[:, 2:6, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten(1)
    return nibbles(blocks[:, 6:]) | fifth << 4


def _unpack_q5_0(blocks: Tensor) -> Tensor:
    return five_bits_0(blocks).float().sub_(16).mul_(halves(blocks[:, :2]))


def scales_and_leasts(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """What the eight sub-blocks of a Q4_K or Q5_K block are multiplied by, and what is then taken off: (N, 8)."""
    low, middle, high = torch.split(blocks[:, 4:16], 4, dim=1)
    scales = torch.cat([low & 63, high & 15 | low >> 6 << 4], dim=1)
    leasts = torch.cat([middle & 63, high >> 4 | middle >> 6 << 4], dim=1)
    return scales * halves(blocks[:, :2]), leasts * halves(blocks[:, 2:4])


def neighbours(packed: Tensor) -> Tensor:
    """(N, 128) bytes to (N, 8, 32) codes: each run of 32 bytes holds two sub-blocks, the low halves first."""
    runs = packed.view(-1, 4, 1, 32)
    return torch.cat([runs & 15, runs >> 4], dim=2).view(-1, 8, 32)


def five_bits_k(blocks: Tensor) -> Tensor:
    """(N, 8, 32) codes of Q5_K, from 0 to 31."""
    fifth = blocks[:, 16:48, None] >> torch.arange(8, dtype=torch.uint8) & 1  # (N, 32, 8): a bit a sub-block
    return neighbours(blocks[:, 48:].contiguous()) | fifth.transpose(1, 2) << 4


def _unpack_k(codes: Tensor, blocks: Tensor) -> Tensor:
    scales, leasts = scales_and_leasts(blocks)
    return codes.float().mul_(scales[..., None]).sub_(leasts[..., None])


def six_bits(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 16, 16) codes of Q6_K, from 0 to 63, and (N, 16) scales.

    Two halves of 128 values; in each, 64 bytes of low bits and 32 of high bits; a signed scale for 16 values."""
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8)[:, None]
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3  # (N, 2, 4, 32)
    codes = torch.cat([low & 15, low >> 4], dim=2).view(-1, 2, 4, 32) | high << 4
    scales = blocks[:, 192:208].contiguous().view(torch.int8) * halves(blocks[:, 208:])
    return codes.view(-1, 16, 16), scales


def _unpack_q6_k(blocks: Tensor) -> Tensor:
    codes, scales = six_bits(blocks)
    return codes.float().sub_(32).mul_(scales[..., None])


_UNPACK: dict[int, Callable[[Tensor], Tensor]] = {
    F32: _plain(torch.float32),
    F16: _plain(torch.float16),
    BF16: _plain(torch.bfloat16),
    Q4_0: _unpack_q4_0,
    Q4_1: _unpack_q4_1,
    Q5_0: _unpack_q5_0,
    Q8_0: _unpack_q8_0,
    Q4_K: lambda blocks: _unpack_k(neighbours(blocks[:, 16:].contiguous()), blocks),
    Q5_K: lambda blocks: _unpack_k(five_bits_k(blocks), blocks),
    Q6_K: _unpack_q6_k,
}
