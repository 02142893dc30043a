"""What a training by gradient is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fourfold.workflow.training.options import OptimizerOptions

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from fourfold.training import BatchSource, Objective, Precision, Team

Measure = Callable[[], Mapping[str, Mapping[str, float]]]  # numbers by name in groups, for a row of curve.jsonl


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One training, ready to start or to go on."""

    model: nn.Module
    objective: Objective
    batches: BatchSource
    optimizer: Optimizer
    update: OptimizerOptions
    precision: Precision
    steps: int
    label: str
    flops_per_token: float | None = None
    """For the share of the machine's rate that is shown while training."""
    one_batch: bool = False
    """The data is no longer than a batch: every step rightly reads the same."""
    trackers: tuple[str, ...] = ()
    """Experiment trackers that are told every step, beside metrics.jsonl and TensorBoard's files."""
    team: Team | None = None
    """The processes that train together, each with its part of `model`; None: this one alone."""
    whole: nn.Module | None = None
    """In the first process of a team, the model in one piece: what is measured, and kept in the end."""
