"""Tensor parallelism: every matrix is split over processes that see the same tokens
(Shoeybi et al. 2020, "Megatron-LM", section 3).

    x ─┬─ query, key, value  by rows: each process has heads of its own ─ attention ─ output  by columns ─ + ─► x
       └─ gate, up           by rows: each has a part of the width ─────────────────── down    by columns ─ + ─► x

`+` adds the parts of all processes, in the backward pass where x enters. The table of tokens and the head are split by
words, and so is the loss: no process ever has all logits. torch's DTensor computes; here is who is split how.
"""

from __future__ import annotations

from typing import Any, final

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.parallel import (
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    parallelize_module,
)

from fourfold.models import Linear, TransformerLM
from fourfold.models.transformer import ALiBi, Block, FeedForwardLayer


@final
class SplitLinear(ParallelStyle):
    """Our linear layer, split by its outputs (`rows` of the weight) or by its inputs."""

    def __init__(self, *, rows: bool) -> None:
        super().__init__()
        self._dimension = 0 if rows else 1

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        return distribute_module(module, device_mesh, self._split, self._read, self._write)  # type: ignore[arg-type]  # torch's hint says None

    def _split(self, name: str, module: nn.Module, mesh: DeviceMesh) -> None:
        if not isinstance(module, Linear):  # its empty list of deltas
            return
        weight = distribute_tensor(module.weight, mesh, [Shard(self._dimension)])
        module.weight = nn.Parameter(weight, module.weight.requires_grad)
        if module.bias is not None:
            placement = Shard(0) if self._dimension == 0 else Replicate()
            module.bias = nn.Parameter(distribute_tensor(module.bias, mesh, [placement]), module.bias.requires_grad)

    def _read(self, module: nn.Module, inputs: tuple[Any, ...], mesh: DeviceMesh) -> tuple[Any, ...]:
        x, *rest = inputs
        if not isinstance(x, DTensor):
            x = DTensor.from_local(x, mesh, [Replicate() if self._dimension == 0 else Shard(-1)], run_check=False)
        return (x, *rest)

    def _write(self, module: nn.Module, output: DTensor, mesh: DeviceMesh) -> Any:
        return output.redistribute(mesh, [Shard(-1) if self._dimension == 0 else Replicate()]).to_local()


def split_matrices(model: TransformerLM, mesh: DeviceMesh) -> None:
    """Split the parameters of `model` over a mesh of one dimension, in place."""
    whole = (Replicate(), None)
    enter = PrepareModuleInput(input_layouts=whole, desired_input_layouts=whole, use_local_output=False)
    words: dict[str, ParallelStyle] = {}
    if isinstance(model.stack.embedding, nn.Embedding):
        words["stack.embedding"] = RowwiseParallel(input_layouts=Replicate(), output_layouts=Replicate())
    if model.head is not None:
        words["head"] = enter
        if model.head.projection is not None:
            words["head.projection"] = SplitLinear(rows=True)
    parallelize_module(model, mesh, words)
    for layer in model.stack.layers:
        if isinstance(layer, Block):
            _split_block(layer, mesh, enter)
    _split_heads_of_positions(model, mesh)


def _split_block(layer: Block, mesh: DeviceMesh, enter: ParallelStyle) -> None:
    styles: dict[str, ParallelStyle] = {"attention": enter}
    styles |= {f"attention.{name}": SplitLinear(rows=True) for name in ("query", "key", "value")}
    styles["attention.output"] = SplitLinear(rows=False)
    for name, module in layer.named_modules():
        if isinstance(module, FeedForwardLayer):
            parts = {part: child for part, child in module.named_children() if isinstance(child, Linear)}
            styles |= {f"{name}.{part}": SplitLinear(rows=part != "down") for part in parts}
    if isinstance(layer.feed_forward, FeedForwardLayer):  # experts take plain tensors: a token enters a few of them
        styles["feed_forward"] = enter
    parallelize_module(layer, mesh, styles)


def _split_heads_of_positions(model: TransformerLM, mesh: DeviceMesh) -> None:
    """Slopes of heads that live elsewhere are dropped."""
    if isinstance(model.config.positions, ALiBi):
        positions: Any = model.stack.positions
        heads = len(positions.slopes) // mesh.size()
        first = mesh.get_local_rank() * heads
        positions.slopes = positions.slopes[first : first + heads]
