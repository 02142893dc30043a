"""The team of a plan: what every process does in a step of the one training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributed.tensor.parallel import loss_parallel
from torch.optim import Optimizer

from fourfold.models import TransformerLM
from fourfold.training.parallel.matrices import split_matrices
from fourfold.training.parallel.pieces import align_gradient, kind_of, local, piece_of, placed_like, split_along
from fourfold.training.parallel.ranks import Ranks
from fourfold.training.parallel.replicas import GradientSums, before_backward, shard_model
from fourfold.training.parallel.rows import read_in_stretches, share
from fourfold.training.parallel.stages import Pipeline, Stage, TiedTables, keep_stage
from fourfold.training.precision import Precision
from fourfold.training.stored import Piece
from fourfold.training.team import LossOf


@final
class ParallelTeam:
    """A `Team` of the processes in `ranks`, each with its part of one model."""

    together = True

    def __init__(self, ranks: Ranks, model: nn.Module) -> None:
        """Split `model`, which every process has made alike, in place: stages, matrices, stretches, replicas."""
        self.ranks = ranks
        plan = ranks.plan
        copies: frozenset[str] = frozenset()
        self._pipeline: Pipeline | None = None
        self._tied: TiedTables | None = None
        stage: Stage | None = None
        if plan.pipeline > 1:
            assert isinstance(model, TransformerLM)
            width, dtype = model.config.hidden_size, next(model.parameters()).dtype
            if model.config.head is not None and model.config.head.tied:
                self._tied = TiedTables(ranks)
            place = ranks.place["pipeline"]
            copies = keep_stage(model, place, plan.pipeline)
        if plan.tensor > 1:
            assert isinstance(model, TransformerLM)
            split_matrices(model, ranks.mesh["tensor"])
        if plan.context > 1:
            assert isinstance(model, TransformerLM)
            read_in_stretches(model, ranks)
        if plan.pipeline > 1:
            assert isinstance(model, TransformerLM)
            stage = Stage(model, first=place == 0, last=place == plan.pipeline - 1)
            self._pipeline = Pipeline(stage, ranks, width, dtype)
        self._sums: GradientSums | None = None
        if plan.shard != "none":
            shard_model(model, ranks.replica_mesh, plan.shard, stage)
        elif plan.replicas > 1:
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            self._sums = GradientSums(trained, ranks.replica_mesh.get_group())
        self._copies = {id(parameter) for name, parameter in model.named_parameters() if name in copies}

    @property
    def rank(self) -> int:
        return self.ranks.rank

    @property
    def complete(self) -> bool:
        return self.ranks.plan.pipeline == 1

    @property
    def seat(self) -> int:
        return self.ranks.replica + self.ranks.plan.replicas * self.ranks.place["pipeline"]

    def share(self, batches: Sequence[Any]) -> Sequence[Any]:
        return share(batches, self.ranks)

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        return self.ranks.sum({name: value if self.ranks.speaks else 0.0 for name, value in numbers.items()})

    def backward(self, model: nn.Module, batches: Sequence[Any], loss_of: LossOf, precision: Precision) -> None:
        with _words_split(self.ranks.plan.tensor):
            if self._pipeline is not None:
                self._pipeline.run(batches, loss_of, precision)
            else:
                self._in_turn(model, batches, loss_of)
        for parameter in model.parameters():
            align_gradient(parameter)
        if self._tied is not None:
            self._add_tied(model)
        if self._sums is not None:
            self._sums.finish()

    def _in_turn(self, model: nn.Module, batches: Sequence[Any], loss_of: LossOf) -> None:
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            if self._sums is not None and last:
                self._sums.begin()
            before_backward(model, self.ranks.plan.shard, last)
            loss_of(model, batch).backward()  # type: ignore[no-untyped-call]  # torch's backward has no types

    def _add_tied(self, model: nn.Module) -> None:
        assert self._tied is not None
        if self.ranks.place["pipeline"] in (0, self.ranks.plan.pipeline - 1):
            assert isinstance(model, TransformerLM)
            gradient = model.stack.embedding.weight.grad
            assert gradient is not None
            self._tied.add(local(gradient))

    def norm(self, parameters: Sequence[Tensor]) -> Tensor:
        """Every number of the gradient counts once, in the first process that has it."""
        counted = [
            local(parameter.grad) for parameter in parameters if parameter.grad is not None and self.owns(parameter)
        ]
        squares = sum(float(norm) ** 2 for norm in torch._foreach_norm(counted)) if counted else 0.0
        return torch.tensor(self.ranks.sum({"squares": squares})["squares"] ** 0.5)

    def scale(self, parameters: Sequence[Tensor], factor: Tensor) -> None:
        gradients = [local(parameter.grad) for parameter in parameters if parameter.grad is not None]
        if gradients:
            torch._foreach_mul_(gradients, float(factor))

    def any(self, wish: bool) -> bool:
        return self.ranks.any(wish)

    def wait(self) -> None:
        self.ranks.wait()

    def owns(self, parameter: Tensor) -> bool:
        return id(parameter) not in self._copies and self.ranks.holds_first(split_along(parameter))

    def piece(self, tensor: Tensor) -> tuple[Piece, Tensor]:
        return piece_of(tensor), local(tensor)

    def placed(self, part: Tensor, model: Tensor) -> Tensor:
        return placed_like(part, model)


def _words_split(processes: int) -> AbstractContextManager[object]:
    return loss_parallel() if processes > 1 else nullcontext()


def group_by_kind(optimizer: Optimizer) -> None:
    """Part the groups of an optimizer so that each has tensors of one kind: fused steps take no mixture."""
    groups = optimizer.param_groups[:]
    optimizer.param_groups.clear()
    for group in groups:
        kinds: dict[Any, list[Tensor]] = {}
        for parameter in group["params"]:
            kinds.setdefault(kind_of(parameter), []).append(parameter)
        if len(kinds) == 1:
            optimizer.param_groups.append(group)
        else:
            optimizer.param_groups.extend({**group, "params": parameters} for parameters in kinds.values())
