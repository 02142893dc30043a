"""Which piece of a whole tensor a process holds: torch's DTensor says it, plain tensors are whole."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from fourfold.training.stored import Piece

SPLITS = {"replica": ("data", "context"), "data": ("data",), "context": ("context",), "tensor": ("tensor",)}
"""Dimensions of the grid by the name of a mesh's dimension."""


def local(tensor: Tensor) -> Tensor:
    """What of it lies in this process, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def piece_of(tensor: Tensor) -> Piece:
    """Where the local part stands in the whole."""
    shape = tuple(tensor.shape)
    if not isinstance(tensor, DTensor):
        return Piece.whole(shape)
    size, offset = compute_local_shape_and_global_offset(shape, tensor.device_mesh, tensor.placements)
    return Piece(shape, tuple(offset), tuple(size))


def placed_like(part: Tensor, model: Tensor) -> Tensor:
    """A local part as a piece of a tensor that is split as `model` is."""
    if not isinstance(model, DTensor):
        return part.to(model.device)
    return DTensor.from_local(
        part.to(model.device),
        model.device_mesh,
        model.placements,
        run_check=False,
        shape=model.shape,
        stride=model.stride(),
    )


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
