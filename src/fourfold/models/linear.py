"""The one linear layer: a weight, dense or packed, plus an ordered list of low-rank deltas.

Adaptation methods fill the list; nothing here knows them. Which deltas act is
said per call (`Step.adapters`), so a preference reference is a *prefix* of the
list and a batch may mix adapters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.kernels import few_natively, multiply_few
from fourfold.models.packed import Packed, PackedEmbedding

FEW = 3
"""Vectors that are multiplied as columns."""


class LowRankDelta(nn.Module):
    """`scale * (x A^T) B^T`, computed in the delta's own precision (fp32 while it trains).

    `down` is A (rank, in), `up` is B (out, rank), as in LoRA (Hu et al. 2021, section 4.1).
    """

    def __init__(self, in_size: int, out_size: int, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, in_size))
        self.up = nn.Parameter(torch.zeros(out_size, rank))
        self.scale = scale
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(x).to(self.down.dtype)
        return F.linear(F.linear(x, self.down) * self.scale, self.up)


class Linear(nn.Module):
    """`x W^T + b` plus the deltas that act. `weight` is (out, in), as Hugging Face stores it; None while packed."""

    packed: Packed | None

    def __init__(self, in_size: int, out_size: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_size, in_size))
        self.bias = nn.Parameter(torch.zeros(out_size)) if bias else None
        self.packed = None
        self.deltas = nn.ModuleList()

    @property
    def in_size(self) -> int:
        return self.weight.shape[1] if self.packed is None else self.packed.sizes[1]

    @property
    def out_size(self) -> int:
        return self.weight.shape[0] if self.packed is None else self.packed.sizes[0]

    @property
    def device(self) -> torch.device:
        return self.weight.device if self.packed is None else self.packed.codes.device

    def pack(self, packed: Packed) -> None:
        """Hold this weight instead of the dense one."""
        self.register_parameter("weight", None)
        self.packed = packed

    def unpack(self, dtype: torch.dtype) -> None:
        """Hold dense numbers again, if they are packed."""
        if self.packed is not None:
            self.weight = nn.Parameter(self.packed.dense().to(dtype))
            self.packed = None

    def forward(self, x: Tensor, adapters: int | Tensor | None = None) -> Tensor:
        y = multiply(x, self.weight, self.bias) if self.packed is None else self.packed(x, self.bias)
        acting = self.deltas[:adapters] if isinstance(adapters, int) else self.deltas
        for index, delta in enumerate(acting):
            change = delta(x)
            if isinstance(adapters, Tensor):
                change = change * adapters[:, index, None, None]
            y = y + change.to(y.dtype)
        return y


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., out) `x W^T + bias`.

    One or two in bf16 have a kernel of ours where the processor multiplies bf16. A few in fp32 are multiplied as the
    columns of `W x^T`: what libraries have for their rows is two to four times slower (LOG.md, 2026-11-28). A single
    one is doubled for it, which pays where more comes out than goes in.
    """
    rows = x.shape[:-1].numel()
    plain = rows <= FEW and x.device.type == "cpu" and _whole(weight) and not torch.is_grad_enabled()
    if plain and few_natively(x, weight):
        return multiply_few(x, weight, bias)
    if not plain or x.dtype != torch.float32:
        return F.linear(x, weight, bias)
    vectors = x.reshape(rows, -1)
    if rows == 1:
        if weight.shape[0] < 2 * weight.shape[1]:
            return F.linear(x, weight, bias)
        vectors = vectors.repeat(2, 1)
    y = weight @ vectors.t() if bias is None else torch.addmm(bias[:, None], weight, vectors.t())
    return y.t()[:rows].contiguous().view(*x.shape[:-1], -1)


def project(x: Tensor, table: nn.Module, bias: Tensor | None = None) -> Tensor:
    """(..., rows) `x W^T + bias` by the weight of a linear layer or a table of token vectors, without deltas."""
    assert isinstance(table, Linear | nn.Embedding | PackedEmbedding)
    if isinstance(table, nn.Embedding) or table.packed is None:
        return multiply(x, table.weight, bias)
    y: Tensor = table.packed(x, bias)
    return y


def places_to_pack(module: nn.Module) -> list[str]:
    """Names of the modules whose weights may be packed: linear layers and the table of token vectors."""
    places = {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, Linear) or (isinstance(child, nn.Embedding) and name.rpartition(".")[2] == "embedding")
    }
    return [name for name in places if name.rpartition(".")[2] != "router"]  # it computes in fp32, and is small


def hold(module: nn.Module, name: str, packed: Packed) -> None:
    """Put packed numbers in the place of that name."""
    place = module.get_submodule(name)
    if isinstance(place, Linear):
        place.pack(packed)
    else:
        module.set_submodule(name, PackedEmbedding(packed))


def is_packed(module: nn.Module) -> bool:
    return any(isinstance(part, Packed) for part in module.modules())


def make_dense(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Unpack every weight of a module, all of which is in `dtype` then: what training, merging and other formats need.

    A module without packed weights stays as it is.
    """
    if not is_packed(module):
        return module
    for parent in list(module.modules()):
        if isinstance(parent, Linear):
            parent.unpack(dtype)
        for name, child in parent.named_children():
            if isinstance(child, PackedEmbedding):
                table = child.packed.dense().to(dtype)
                setattr(parent, name, nn.Embedding(table.shape[0], table.shape[1], _weight=table))
    return module.to(dtype)


def side_by_side(layers: Sequence[Linear], x: Tensor, adapters: int | Tensor | None = None) -> Sequence[Tensor]:
    """What each of the layers makes of the same input; one product for all where that takes no copy of their weights.

    A wide product is faster than narrow ones, and its gradient for `x` needs no sum of parts. While they train, weights
    are put together under autocast, which keeps a copy of them for the backward pass anyway; otherwise they are read as
    one where they lie one after another, as those do that a file holds as one.
    """
    if any(layer.packed is not None or layer.deltas for layer in layers):
        return [layer(x, adapters) for layer in layers]
    weight, bias = _as_one([layer.weight for layer in layers], x), None
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    if weight is not None and biases:
        bias = _as_one(biases, x) if len(biases) == len(layers) else None
    if weight is None or (biases and bias is None):
        return [layer(x, adapters) for layer in layers]
    return torch.split(multiply(x, weight, bias), [layer.out_size for layer in layers], dim=-1)


def _as_one(parts: list[Tensor], x: Tensor) -> Tensor | None:
    """The rows of all the parts; None where they would have to be copied for it."""
    if not all(map(_whole, parts)):
        return None
    if torch.is_grad_enabled():
        trained = all(part.requires_grad for part in parts)
        return torch.cat(parts) if trained and torch.is_autocast_enabled(x.device.type) else None
    if torch.compiler.is_compiling():
        return None
    first, end = parts[0], parts[0].data_ptr()
    for part in parts:
        if part.data_ptr() != end or not part.is_contiguous():
            return None
        end += part.nbytes
    if end - first.untyped_storage().data_ptr() > first.untyped_storage().nbytes():  # neighbours by chance
        return None
    return first.as_strided((sum(part.shape[0] for part in parts), *first.shape[1:]), first.stride())


def _whole(weight: Tensor) -> bool:
    """Whether a weight is all in this process."""
    return type(weight) in (nn.Parameter, Tensor)
