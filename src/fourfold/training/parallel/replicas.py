"""Data parallelism: the gradients of processes that hold the same weights are added, or added and split (ZeRO).

Without sharding every process keeps all and sums the gradients in buckets, each on its way as soon as the backward pass
has filled it (Li et al. 2020, "PyTorch Distributed", section 3.2.3). With it, torch's `fully_shard` splits every
tensor by its first dimension; the stages of ZeRO differ in how long what was gathered or accumulated stays whole:

            weights whole                    gradients whole             sent a step, of W weights over N processes
    zero1   during a step                    until the step is done      2 W (N-1)/N
    zero2   during a step                    until a micro-batch is done (1 + micro-batches) W (N-1)/N
    zero3   while their layer is computed    until a micro-batch is done 3 W (N-1)/N a micro-batch
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from fourfold.models.transformer import Block
from fourfold.training.parallel.pieces import align_gradient, local
from fourfold.training.plan import Shard

BUCKET_BYTES = 25 * 2**20
"""Small tensors wait for each other, large ones are not cut."""


def shard_model(model: nn.Module, mesh: DeviceMesh, shard: Shard, root: nn.Module | None = None) -> None:
    """Split the parameters over `mesh` in place; `root` is the module whose forward the processes call, if another."""
    keep = shard == "zero3"
    for module in list(model.modules()):
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh, reshard_after_forward=keep)
    fully_shard(root or model, mesh=mesh, reshard_after_forward=False)
    if root is None:
        register_fsdp_forward_method(model, "hidden")
    for part in _parts(root or model):
        part.set_gradient_divide_factor(1.0)  # the loop divides by the counts of all
        part.set_force_sum_reduction_for_comms(True)  # gloo knows no other
        part.set_reduce_scatter_unused_params(True, recurse=False)  # an expert may be idle in one process only


def before_backward(model: nn.Module, shard: Shard, last: bool) -> None:
    """What the next backward pass does with gradients and gathered weights."""
    for part in _parts(model):
        part.set_is_last_backward(last)
        part.set_requires_gradient_sync(last or shard != "zero1", recurse=False)
        part.set_reshard_after_backward(last or shard == "zero3", recurse=False)


def _parts(model: nn.Module) -> Iterator[FSDPModule]:
    return (module for module in model.modules() if isinstance(module, FSDPModule))


@final
class GradientSums:
    """Sums the gradients of parameters that every process of a group has."""

    def __init__(self, parameters: Sequence[nn.Parameter], group: dist.ProcessGroup) -> None:
        self._group = group
        self._buckets = list(_buckets(parameters))
        self._place = {parameter: index for index, bucket in enumerate(self._buckets) for parameter in bucket}
        self._missing: list[int] = []
        self._sent: list[tuple[Tensor, dist.Work]] = []
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._arrived)  # type: ignore[no-untyped-call]  # torch's has no types

    def begin(self) -> None:
        """The next backward pass is the last one of the step: send what it completes."""
        self._missing = [len(bucket) for bucket in self._buckets]

    def finish(self) -> None:
        """Send the rest, and wait for all."""
        while len(self._sent) < len(self._buckets):
            self._send()
        for bucket, (flat, work) in zip(self._buckets, self._sent, strict=True):
            work.wait()
            gradients = [_gradient(parameter) for parameter in bucket]
            parts = torch.split(flat, [gradient.numel() for gradient in gradients])
            torch._foreach_copy_(
                gradients, [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]
            )
        self._missing, self._sent = [], []

    def _arrived(self, parameter: Tensor) -> None:
        if not self._missing:
            return
        assert isinstance(parameter, nn.Parameter)
        self._missing[self._place[parameter]] -= 1
        # In order, whatever the order of arrival: all processes must send the same bucket next.
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            self._send()

    def _send(self) -> None:
        flat = torch.cat([_gradient(parameter).reshape(-1) for parameter in self._buckets[len(self._sent)]])
        work = dist.all_reduce(flat, group=self._group, async_op=True)
        assert work is not None
        self._sent.append((flat, work))


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The local part of the gradient; zeros where this process's tokens did not meet the parameter."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    align_gradient(parameter)
    return local(parameter.grad)


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbours of one type together, from the last layer on, as the backward pass meets them."""
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in reversed(parameters):
        bytes_ = local(parameter).numel() * parameter.element_size()
        if bucket and (size + bytes_ > BUCKET_BYTES or bucket[0].dtype != parameter.dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += bytes_
    if bucket:
        yield bucket
