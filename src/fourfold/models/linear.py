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

from fourfold.models.packed import Packed, PackedEmbedding


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
        y = F.linear(x, self.weight, self.bias) if self.packed is None else self.packed(x, self.bias)
        acting = self.deltas[:adapters] if isinstance(adapters, int) else self.deltas
        for index, delta in enumerate(acting):
            change = delta(x)
            if isinstance(adapters, Tensor):
                change = change * adapters[:, index, None, None]
            y = y + change.to(y.dtype)
        return y


def project(x: Tensor, table: nn.Module, bias: Tensor | None = None) -> Tensor:
    """(..., rows) `x W^T + bias` by the weight of a linear layer or a table of token vectors, without deltas."""
    assert isinstance(table, Linear | nn.Embedding | PackedEmbedding)
    if isinstance(table, nn.Embedding) or table.packed is None:
        return F.linear(x, table.weight, bias)
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
    """What each of the layers makes of the same input; one product for all where their weights train.

    A wide product is faster than narrow ones, and its gradient for `x` needs no sum of parts. The weights are put
    together only under autocast, which keeps a copy of them for the backward pass anyway.
    """
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    alike = len(biases) in (0, len(layers)) and all(_plainly_trained(layer) for layer in layers)
    if not (torch.is_grad_enabled() and torch.is_autocast_enabled(x.device.type) and alike):
        return [layer(x, adapters) for layer in layers]
    weights: list[Tensor] = [layer.weight for layer in layers]
    y = F.linear(x, torch.cat(weights), torch.cat(biases) if biases else None)
    return torch.split(y, [layer.out_size for layer in layers], dim=-1)


def _plainly_trained(layer: Linear) -> bool:
    """Whether the weight is all there is: no delta, no part of a weight that is spread over processes."""
    whole = layer.packed is None and type(layer.weight) is nn.Parameter
    return whole and layer.weight.requires_grad and not layer.deltas
