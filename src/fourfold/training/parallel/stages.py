"""Pipeline parallelism: the layers stand one after another in several processes (Huang et al. 2019, "GPipe"; Narayanan
et al. 2021, "Efficient Large-Scale Language Model Training", section 2.2 for one-forward-one-backward).

torch's schedules move the tensors; a stage is the model with all that stands elsewhere taken out, names unchanged.
The last stage computes the objective, so that every objective that reads its batch once works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

from fourfold.errors import FourfoldError
from fourfold.models import Config, TransformerConfig, TransformerLM
from fourfold.models.transformer import Learned, PositionEncoding
from fourfold.training.batches import LabelledBatch
from fourfold.training.parallel.ranks import Ranks
from fourfold.training.precision import Precision
from fourfold.training.team import LossOf

AT_THE_END = ("stack.norm.", "head.", "pooler.", "task.")
"""What only the last stage has; what is neither here nor in a layer only the first one has."""


@final
class Elsewhere(nn.Module):
    """Stands for a module that another stage has: hands on what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight: Tensor | None = None

    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        return x


def layers_of_stage(layers: int, stage: int, stages: int) -> range:
    """Neighbouring layers. Where they do not divide evenly, stages in the middle have one more, then the first: the
    ends have tables too, the last one the loss."""
    size, more = divmod(layers, stages)
    middle_first = [*range(1, stages - 1), *sorted({0, stages - 1})]
    larger = set(middle_first[:more])
    start = stage * size + sum(earlier in larger for earlier in range(stage))
    return range(start, start + size + (stage in larger))


def stays_in_stage(name: str, config: Config, stage: int, stages: int) -> bool:
    """Whether a stage has a parameter of the whole model, as `keep_stage` leaves it."""
    if stages == 1:
        return True
    assert isinstance(config, TransformerConfig)
    if name.startswith("stack.layers."):
        return int(name.split(".")[2]) in layers_of_stage(config.layers, stage, stages)
    if name.startswith(AT_THE_END):
        return stage == stages - 1
    if name == "stack.embedding.weight" and config.tied_embeddings:
        return stage in (0, stages - 1)
    return stage == 0


def keep_stage(model: TransformerLM, stage: int, stages: int) -> frozenset[str]:
    """Take out of `model` what other stages have; returns the parameters this one only has a copy of."""
    own = layers_of_stage(model.config.layers, stage, stages)
    stack, last = model.stack, stage == stages - 1
    for index in range(len(stack.layers)):
        if index not in own:
            stack.layers[index] = Elsewhere()
    tied = model.head is not None and model.head.projection is None
    if not last:
        stack.norm, model.head, model.pooler, model.task = None, None, None, None
    if stage == 0:
        return frozenset()
    stack.segments = stack.embedding_norm = stack.projection = None
    if isinstance(model.config.positions, Learned):
        stack.positions = PositionEncoding()
    if last and tied:
        return frozenset({"stack.embedding.weight"})
    stack.embedding = Elsewhere()  # type: ignore[assignment]  # an identity in the place of a table
    return frozenset()


@final
class Stage(nn.Module):
    """What this process runs of each micro-batch: hidden states in, hidden states or the loss out."""

    def __init__(self, model: TransformerLM, *, first: bool, last: bool) -> None:
        super().__init__()
        self.model = model
        self._last = last
        self._todo: list[tuple[LabelledBatch, LossOf, Precision]] = []
        if not first:
            self._received: Tensor | None = None
            setattr(model.stack, "embed", lambda step, positions: self._received)  # noqa: B010  # a method of one model

    def expect(self, batches: Sequence[LabelledBatch], loss_of: LossOf, precision: Precision) -> None:
        """The micro-batches that come next, in order."""
        self._todo = [(batch, loss_of, precision) for batch in reversed(batches)]

    def forward(self, received: Tensor) -> Tensor:
        batch, loss_of, precision = self._todo.pop()
        self._received = received
        if self._last:
            return torch.stack([loss_of(self.model, batch)])
        with precision.context(batch.ids.device):
            return self.model.hidden(batch.step())


@final
class Pipeline:
    """Runs the micro-batches of a step through the stages."""

    def __init__(self, stage: Stage, ranks: Ranks, width: int, dtype: torch.dtype) -> None:
        self.stage = stage
        self._ranks, self._width, self._dtype = ranks, width, dtype
        self._schedules: dict[tuple[int, ...], ScheduleGPipe | Schedule1F1B] = {}

    def run(self, batches: Sequence[LabelledBatch], loss_of: LossOf, precision: Precision) -> None:
        """Forward and backward of all; the gradients of this stage are left in its parameters."""
        shape = (len(batches), *batches[0].ids.shape)
        if shape not in self._schedules:
            self._schedules[shape] = self._schedule(*shape)
        self.stage.expect(batches, loss_of, precision)
        turns = torch.arange(len(batches), dtype=torch.float32, device=self._ranks.device)
        first = self._ranks.place["pipeline"] == 0
        try:
            self._schedules[shape].step(*((turns,) if first else ()), target=turns, return_outputs=False)
        except RuntimeError as error:
            raise _own_error(error) from error

    def _schedule(self, count: int, rows: int, length: int) -> ScheduleGPipe | Schedule1F1B:
        plan, place = self._ranks.plan, self._ranks.place["pipeline"]
        hidden = torch.empty(rows, length, self._width, dtype=self._dtype, device=self._ranks.device)
        turn = torch.empty(1, device=self._ranks.device)
        last = place == plan.pipeline - 1
        stage = PipelineStage(
            self.stage,
            place,
            plan.pipeline,
            self._ranks.device,
            input_args=turn if place == 0 else hidden.clone().requires_grad_(),
            output_args=turn if last else hidden.clone().requires_grad_(),
            group=self._ranks.mesh["pipeline"].get_group(),
        )
        make = ScheduleGPipe if plan.schedule == "gpipe" else Schedule1F1B
        return make(stage, count, loss_fn=lambda output, turn: output.sum(), scale_grads=False)


def _own_error(error: BaseException) -> BaseException:
    """Our own sentence where torch has wrapped it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FourfoldError):
            return cause
        cause = cause.__cause__
    return error


@final
class TiedTables:
    """Adds the gradients of the table of tokens in the first and of its copy in the last stage."""

    def __init__(self, ranks: Ranks) -> None:
        grid = ranks.mesh.mesh.flatten(1)
        self._group: dist.ProcessGroup | None = None
        for column in grid.t().tolist():
            group = dist.new_group([column[0], column[-1]])
            if dist.get_rank() in (column[0], column[-1]):
                self._group = group

    def add(self, gradient: Tensor) -> None:
        dist.all_reduce(gradient, group=self._group)
