"""Matrices of 4 or 8 bits a value, and their product with inputs that are turned to 8 bits on the way.

A weight is `scale * code + least`, scale and least in fp16 and shared by a group of values along a row. Inputs are
cut in blocks of 32, each with a scale of its own and codes from -127 to 127; so a product is a sum over blocks of
whole-number products. A row of inputs has the same result whatever other rows are in the call.

Codes are kept as `native/shapes.hpp` draws them: 16 rows side by side, block after block.
Letters: R rows, C columns, T tiles of 16 rows, K blocks of 32 columns, G groups along a row, N inputs.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fourfold.kernels.native import SETS, WeightCall, kernels, threads

LANES, BLOCK = 16, 32
ROWS_AT_ONCE = 1024
"""Rows unpacked together, so that no second copy of a matrix is in memory."""


class LowBit(NamedTuple):
    """A packed matrix (R, C)."""

    codes: Tensor
    """(T, K, bytes) uint8."""
    scales: Tensor
    """(T, G, 16) fp16."""
    leasts: Tensor | None
    """(T, G, 16) fp16; None: all 0."""
    levels: Tensor | None
    """(16,) int8 that the 4-bit codes stand for; None: themselves, 0 to 15."""
    rows: int
    columns: int
    group: int
    """Values that share a scale: 16 (of 8 bits) or a multiple of 32."""

    @property
    def bits(self) -> int:
        return self.codes.shape[2] * 8 // (LANES * BLOCK)


def pack(
    codes: Tensor, scales: Tensor, leasts: Tensor | None = None, levels: Tensor | None = None, group: int = BLOCK
) -> LowBit:
    """From (R, C) codes, uint8 from 0 to 15 or int8, and (R, G) scales and leasts.

    Groups cover the columns from the left, the last one may be short.
    """
    rows, columns = codes.shape
    tiles, blocks = -(-rows // LANES), -(-columns // BLOCK)
    padded = F.pad(codes, (0, blocks * BLOCK - columns, 0, tiles * LANES - rows))
    if codes.dtype == torch.int8:  # vectors of 4 columns of each row
        order = padded.view(tiles, LANES, blocks, 8, 4).permute(0, 2, 3, 1, 4)
        packed = order.reshape(tiles, blocks, LANES * BLOCK).view(torch.uint8)
    else:
        low, high = padded.view(tiles, LANES, blocks, 2, 4, 4).permute(3, 0, 2, 4, 1, 5)
        packed = (low | high << 4).reshape(tiles, blocks, LANES * BLOCK // 2)
    shared = None if leasts is None else _lanes(leasts, tiles)
    return LowBit(packed.contiguous(), _lanes(scales, tiles), shared, levels, rows, columns, group)


def _lanes(scales: Tensor, tiles: int) -> Tensor:
    """(R, G) to (T, G, 16) fp16."""
    padded = F.pad(scales.to(torch.float16), (0, 0, 0, tiles * LANES - scales.shape[0]))
    return padded.view(tiles, LANES, -1).transpose(1, 2).contiguous()


def unpack(matrix: LowBit, start: int = 0, end: int | None = None) -> Tensor:
    """(rows, C) fp32 values of the tiles from `start` to `end`, in rows that the matrix has."""
    codes = matrix.codes[start:end]
    tiles, blocks = codes.shape[:2]
    if matrix.bits == 8:
        whole = codes.view(torch.int8).view(tiles, blocks, 8, LANES, 4).permute(0, 3, 1, 2, 4)
    else:
        halves = torch.stack((codes & 15, codes >> 4), dim=2).view(tiles, blocks, 2, 4, LANES, 4)
        whole = halves.permute(0, 4, 1, 2, 3, 5)
        if matrix.levels is not None:
            whole = matrix.levels[whole.int()]
    leasts = None if matrix.leasts is None else matrix.leasts[start:end].transpose(1, 2)
    values = _scaled(matrix, whole.reshape(tiles, LANES, -1), matrix.scales[start:end].transpose(1, 2), leasts)
    return values.reshape(tiles * LANES, -1)[: matrix.rows - start * LANES]


def _scaled(matrix: LowBit, codes: Tensor, scales: Tensor, leasts: Tensor | None) -> Tensor:
    """(..., C) values of (..., K * 32) codes with (..., G) scales."""
    spread = codes[..., : matrix.columns].float()
    spread *= scales.float().repeat_interleave(matrix.group, dim=-1)[..., : matrix.columns]
    if leasts is not None:
        spread += leasts.float().repeat_interleave(matrix.group, dim=-1)[..., : matrix.columns]
    return spread


def dense(matrix: LowBit) -> Tensor:
    """(R, C) fp32."""
    values = torch.empty(matrix.rows, matrix.columns, device=matrix.codes.device)
    step = ROWS_AT_ONCE // LANES
    for start in range(0, matrix.codes.shape[0], step):
        part = unpack(matrix, start, start + step)
        values[start * LANES : start * LANES + len(part)] = part
    return values


def rows_of(matrix: LowBit, ids: Tensor) -> Tensor:
    """(..., C) fp32 values of the rows with these numbers, compiled where that can be; IndexError for others."""
    running = kernels()
    if running.library is None or matrix.codes.device.type != "cpu" or ids.device.type != "cpu":
        return rows_of_plain(matrix, ids)
    ids, found = ids.long().contiguous(), torch.empty(*ids.shape, matrix.columns)
    weight = described(matrix, None)
    if not running.library.fourfold_look_up(
        ctypes.byref(weight), ids.data_ptr(), ids.numel(), found.data_ptr(), running.set
    ):
        raise IndexError(f"a row number is outside 0 to {matrix.rows - 1}")
    return found


def rows_of_plain(matrix: LowBit, ids: Tensor) -> Tensor:
    """The same on torch alone, bit for bit."""
    flat = ids.flatten()
    tile, lane = flat // LANES, flat % LANES
    codes = matrix.codes[tile]  # (N, K, bytes)
    picked = codes.view(*codes.shape[:2], -1, LANES, 4)[torch.arange(len(flat), device=ids.device), :, :, lane]
    if matrix.bits == 8:
        whole = picked.reshape(len(flat), -1).view(torch.int8)
    else:
        whole = torch.stack((picked & 15, picked >> 4), dim=2).reshape(len(flat), -1)
        if matrix.levels is not None:
            whole = matrix.levels[whole.int()]
    leasts = None if matrix.leasts is None else matrix.leasts[tile, :, lane]
    return _scaled(matrix, whole, matrix.scales[tile, :, lane], leasts).view(*ids.shape, -1)


def quantized_inputs(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K, 32) codes, whole numbers in fp32, and (N, K, 1) scales of (N, C) inputs."""
    blocks = F.pad(x.float(), (0, -x.shape[1] % BLOCK)).view(x.shape[0], -1, BLOCK)
    most = blocks.abs().amax(dim=2, keepdim=True)
    inverse = torch.where(most > 0, 127.0 / most, 0.0)
    return (blocks * inverse).round_(), most / 127.0


def product_plain(matrix: LowBit, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, R) `x W^T + bias` on torch alone: the same quantized inputs, sums in another order."""
    codes, scales = quantized_inputs(x)
    rounded = (codes * scales).flatten(1)[:, : matrix.columns]
    step = ROWS_AT_ONCE // LANES
    parts = [F.linear(rounded, unpack(matrix, at, at + step)) for at in range(0, matrix.codes.shape[0], step)]
    y = torch.cat(parts, dim=1)
    return y if bias is None else y + bias


def product(matrix: LowBit, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, R) fp32 `x W^T + bias` of (N, C) inputs, compiled where that can be."""
    running = kernels()
    if running.library is None or x.device.type != "cpu":
        return product_plain(matrix, x, bias)
    x = x.float().contiguous()
    y = torch.empty(x.shape[0], matrix.rows)
    if len(x):
        room = torch.empty(running.library.fourfold_room(len(x), matrix.columns), dtype=torch.uint8)
        weight = described(matrix, bias)
        running.library.fourfold_product(
            ctypes.byref(weight), x.data_ptr(), len(x), y.data_ptr(), room.data_ptr(), threads(), running.set
        )
    return y


def described(matrix: LowBit, bias: Tensor | None = None) -> WeightCall:
    """The addresses of a matrix; valid while its tensors, which are contiguous, are kept."""
    leasts, levels = matrix.leasts, matrix.levels
    assert bias is None or bias.dtype == torch.float32
    return WeightCall(
        codes=matrix.codes.data_ptr(),
        scales=matrix.scales.data_ptr(),
        leasts=None if leasts is None else leasts.data_ptr(),
        levels=None if levels is None else levels.data_ptr(),
        bias=None if bias is None else bias.data_ptr(),
        rows=matrix.rows,
        columns=matrix.columns,
        bits=matrix.bits,
        group=matrix.group,
    )


def integers(matrix: LowBit, tile: int, inputs: Tensor, instructions: str) -> Tensor:
    """(K, 2, 16) whole-number sums over half blocks of a tile's codes times (K * 32,) int8 inputs, compiled."""
    running = kernels()
    assert running.library is not None
    sums = torch.zeros(matrix.codes.shape[1], 2, LANES, dtype=torch.int32)
    weight = described(matrix)
    address = (inputs.data_ptr(), sums.data_ptr())
    running.library.fourfold_integers(ctypes.byref(weight), tile, *address, SETS[instructions])
    return sums
