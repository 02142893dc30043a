"""Which piece of a whole tensor a process holds: torch's DTensor says it, plain tensors are whole."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

SPLITS = {"replica": ("data", "context"), "data": ("data",), "context": ("context",), "tensor": ("tensor",)}
"""Dimensions of the grid by the name of a mesh's dimension."""


class Piece(NamedTuple):
    """A box of a whole tensor."""

    shape: tuple[int, ...]
    """Of the whole."""
    offset: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        return tuple(slice(start, start + size) for start, size in zip(self.offset, self.size, strict=True))


def local(tensor: Tensor) -> Tensor:
    """What of it lies in this process, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def piece_of(tensor: Tensor) -> Piece:
    """Where the local part stands in the whole."""
    shape = tuple(tensor.shape)
    if not isinstance(tensor, DTensor):
        return Piece(shape, (0,) * len(shape), shape)
    size, offset = compute_local_shape_and_global_offset(shape, tensor.device_mesh, tensor.placements)
    return Piece(shape, tuple(offset), tuple(size))


def split_along(tensor: Tensor) -> frozenset[str]:
    """The dimensions of the grid over which the tensor is split."""
    if not isinstance(tensor, DTensor):
        return frozenset()
    names = tensor.device_mesh.mesh_dim_names or ()
    return frozenset(
        dimension
        for name, placement in zip(names, tensor.placements, strict=True)
        if not placement.is_replicate()
        for dimension in SPLITS[name]
    )


def align_gradient(parameter: Tensor) -> None:
    """Split the gradient as the parameter is: that of a table whose words are looked up comes whole."""
    gradient = parameter.grad
    if isinstance(parameter, DTensor) and isinstance(gradient, DTensor) and gradient.placements != parameter.placements:
        parameter.grad = gradient.redistribute(placements=parameter.placements)


def kind_of(tensor: Tensor) -> Any:
    """Equal for tensors that one fused operation may take together."""
    return tensor.device_mesh if isinstance(tensor, DTensor) else None
