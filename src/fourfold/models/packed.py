"""Weights of 4 or 8 bits a value as modules: of a linear layer, and as a table of token vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from fourfold.kernels import LowBit, dense, product, rows_of
from fourfold.models.untouched import untouched

LINE, LARGE_PAGE = 64, 1 << 21
"""Bytes of a cache line and of a large page of memory."""
PIECE = 16 * LARGE_PAGE
"""Memory taken at once."""


class Packed(nn.Module):
    """A packed matrix (out, in). It computes in fp32, and its gradient goes to the input alone."""

    codes: Tensor
    scales: Tensor
    leasts: Tensor | None
    levels: Tensor | None

    def __init__(self, matrix: LowBit) -> None:
        super().__init__()
        self.register_buffer("codes", matrix.codes)
        self.register_buffer("scales", matrix.scales)
        self.register_buffer("leasts", matrix.leasts)
        self.register_buffer("levels", matrix.levels)
        self.sizes = matrix.rows, matrix.columns, matrix.group

    @property
    def matrix(self) -> LowBit:
        return LowBit(self.codes, self.scales, self.leasts, self.levels, *self.sizes)

    @property
    def bytes(self) -> int:
        return sum(buffer.nbytes for buffer in self.buffers())

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(..., out) `x W^T + bias` for (..., in)."""
        flat = x.reshape(-1, x.shape[-1])
        if torch.is_grad_enabled() and x.requires_grad:
            y: Tensor = _Product.apply(flat, self.matrix, bias)  # type: ignore[no-untyped-call]  # torch's apply has no types
        else:
            y = product(self.matrix, flat, bias)
        return y.to(x.dtype).view(*x.shape[:-1], -1)

    def dense(self) -> Tensor:
        """(out, in) fp32."""
        return dense(self.matrix)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moved with the module, but never turned into another number type: the scales belong to the codes."""
        device = fn(torch.empty(0, device=self.codes.device)).device

        def move(buffer: Tensor) -> Tensor:
            return buffer.to(device)

        moved: Self = super()._apply(move, recurse)  # type: ignore[no-untyped-call]  # torch gives it no types
        return moved


class PackedEmbedding(nn.Module):
    """Token vectors looked up in a packed table; a tied head multiplies by the same table."""

    def __init__(self, packed: Packed) -> None:
        super().__init__()
        self.packed = packed

    def forward(self, ids: Tensor) -> Tensor:
        """(..., D) fp32 vectors."""
        return rows_of(self.packed.matrix, ids)


class LargePages:
    """Memory for packed numbers, side by side in pages of 2 MiB where the system has them.

    One token reads every weight once: with pages of 4 KiB a fifth of the time goes into finding them. Memory is taken
    in pieces and used up in order, so that little more is in use than what was placed.
    """

    def __init__(self) -> None:
        self._room = torch.empty(0, dtype=torch.uint8)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Beside the one before it."""
        wanted = math.prod(shape) * dtype.itemsize
        size = -(-wanted // LINE) * LINE
        if size > len(self._room):
            self._room = self._piece(max(size, PIECE))
        place, self._room = self._room[:wanted], self._room[size:]
        return place.view(dtype).view(shape)

    @staticmethod
    def _piece(size: int) -> Tensor:
        room = untouched(size + LARGE_PAGE, large=True)
        return room[-room.data_ptr() % LARGE_PAGE :]


def settle(module: nn.Module) -> None:
    """Move all packed numbers of a module on the CPU into large pages."""
    pages = LargePages()
    for part in module.modules():
        if isinstance(part, Packed):
            for name, buffer in list(part.named_buffers()):
                setattr(part, name, pages.empty(buffer.shape, buffer.dtype).copy_(buffer))


class _Product(torch.autograd.Function):
    """The product, and its gradient as if the inputs had not been rounded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: LowBit, bias: Tensor | None) -> Tensor:
        ctx.matrix = matrix
        return product(matrix, x.detach(), None if bias is None else bias.detach())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor | None]:
        (gradient,) = gradients
        bias = gradient.sum(dim=0) if ctx.needs_input_grad[2] else None
        return gradient @ dense(ctx.matrix), None, bias
