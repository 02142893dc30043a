"""What a recipe says of a training by gradient: how long, by which optimizer, how carefully."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from fourfold.files import read_json, write_json
from fourfold.progress import say
from fourfold.workflow.crew import SOLO, Company
from fourfold.workflow.kinds import Options

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from fourfold.training import ParallelPlan, Schedule


class Budget(Options):
    """How long to train: exactly one of the three."""

    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens read, turned into steps by the size of a batch."""
    seconds: float | None = Field(default=None, gt=0)
    """Turned into steps by a short probe before the first step; the count is recorded at once."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.steps, self.tokens, self.seconds)) != 1:
            raise ValueError("give exactly one of steps, tokens and seconds")
        return self


class ParallelOptions(Options):
    """How torchrun's processes share a training: a grid whose sizes multiply to their number.

    Not part of what a result depends on but for rounding: a run may go on under another plan.
    """

    data: int = Field(default=1, ge=1)
    """Groups that read different rows."""
    shard: Literal["none", "zero1", "zero2", "zero3"] = "none"
    """What they split: the optimizer's state, the gradients too, the weights too."""
    tensor: int = Field(default=1, ge=1)
    """Processes that split every matrix."""
    pipeline: int = Field(default=1, ge=1)
    """Processes that each have some of the layers."""
    context: int = Field(default=1, ge=1)
    """Processes that split every row."""
    micro_batches: int | None = Field(default=None, ge=1)
    """Pieces that the rows of a process are cut into; without it as many as there are stages."""
    schedule: Literal["1f1b", "gpipe"] = "1f1b"
    """How stages take turns."""

    def plan(self) -> ParallelPlan:
        from fourfold.training import ParallelPlan

        return ParallelPlan(**self.model_dump())


class SpikeOptions(Options):
    """What happens when the loss jumps."""

    policy: Literal["skip", "rewind", "lower-rate"] = "skip"
    """Leave the step out; go back to the last checkpoint and pass over the data since; or lower the learning rate."""
    threshold: float = Field(default=8.0, gt=0)
    """Robust standard deviations above the median of the last losses that make a spike."""
    window: int = Field(default=64, ge=16)
    """Losses that are looked back on."""
    factor: float = Field(default=0.5, gt=0, lt=1)
    """What `lower-rate` multiplies the learning rate by."""
    most: int = Field(default=20, ge=1)
    """Spikes after which the training is given up."""


class OptimizerOptions(Options):
    """The optimizer and its learning rate over time."""

    kind: Literal["adamw", "adamw-8bit", "adafactor", "lion", "muon"] = "adamw"
    """The method. T5 and its start go with `adafactor`, whose rate is relative to the size of what it changes;
    `muon` takes the matrices between hidden layers and leaves the rest to AdamW."""
    lr: float = Field(default=3e-3, gt=0, le=1)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    """Pull of the weight matrices towards zero."""
    schedule: Literal["constant", "linear", "cosine", "inverse-square-root", "wsd", "cooldown"] = "cosine"
    """Shape of the learning rate after the warm-up."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    final: float = Field(default=0.1, ge=0, le=1)
    """Learning rate of the last step, as a share of the peak."""
    clip: float = Field(default=1.0, gt=0)
    """Longest gradient."""
    average: float | None = Field(default=None, gt=0, lt=1)
    """Decay of an exponential average of the weights, which is what is measured and kept; 0.999, say."""
    spikes: SpikeOptions | None = None
    """An answer to loss spikes; without it only a loss that is no number stops the training."""

    def make(self, model: nn.Module, *, split: bool = False) -> Optimizer:
        """The optimizer of a model; `split`: of the part of one that a process of a team has."""
        from fourfold.training import make_optimizer

        optimizer = make_optimizer(self.kind, model, self.lr, weight_decay=self.weight_decay)
        if split:
            from fourfold.training.parallel import group_by_kind

            group_by_kind(optimizer)
        return optimizer

    def make_schedule(self, steps: int) -> Schedule:
        from fourfold.training import make_schedule

        warmup = min(steps, math.ceil(self.warmup * steps))
        return make_schedule(self.schedule, self.lr, steps, warmup=warmup, final=self.final * self.lr)


class CheckpointOptions(Options):
    """How much work a crash may cost: whichever comes first."""

    steps: int = Field(default=500, ge=1)
    """Steps between two checkpoints."""
    seconds: float = Field(default=60, gt=0)
    """Seconds between two checkpoints."""
    keep: int = Field(default=2, ge=1, le=100)
    """Checkpoints kept, the newest."""
    best: bool = False
    """Keep the weights that measured best on the held-out curve too, and end with them."""


def decide_steps(
    folder: Path, budget: Budget, tokens_a_step: int, probe: Callable[[float], int], company: Company = SOLO
) -> int:
    """The number of steps of a budget, decided once and kept in budget.json.

    Where a company trains together all probe, and the first process's number holds for all.
    """
    path = folder / "budget.json"
    leads = company.rank == 0
    if kept := company.told(int(read_json(path)["steps"]) if leads and path.is_file() else 0):
        return kept
    if budget.steps is not None:
        steps = budget.steps
    elif budget.tokens is not None:
        steps = max(1, math.ceil(budget.tokens / tokens_a_step))
    else:
        assert budget.seconds is not None  # Budget has exactly one
        steps = company.told(probe(budget.seconds))
        say(
            f"{budget.seconds:g} s are about {steps} steps on this machine; recorded, so that a resumed run ends alike."
        )
    if leads:
        write_json(path, {"steps": steps, "asked": budget.model_dump(exclude_none=True)})
    return steps
