"""The training loop: a generator, and the only one. Evaluating, logging and saving are the caller's code around it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils import deterministic

from fourfold.training.batches import BatchSource
from fourfold.training.guards import check_counts, check_gradient, check_loss, check_mean
from fourfold.training.memory import keep_freed_memory
from fourfold.training.objectives import Objective
from fourfold.training.precision import FLOAT32, Precision
from fourfold.training.schedules import Schedule
from fourfold.training.spikes import SpikeWatch
from fourfold.training.team import ALONE, Team


class Guard(NamedTuple):
    """What stands between a gradient and the weights."""

    clip: float | None = 1.0
    """Longest gradient: a longer one is shortened to it."""
    watch: SpikeWatch | None = None
    """Decides from the loss whether a step is applied at all."""


CLIPPED = Guard()
"""Gradients clipped to length 1, nothing left out."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """What one step did. The weights are already updated when it is yielded, where it was applied."""

    index: int
    losses: dict[str, float]
    """"loss", which was minimised, and the mean of every named term."""
    tokens: int
    """Real tokens read, padding not counted."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    seconds: float
    """Of the step itself; what the caller does between steps is not in it."""
    applied: bool = True
    """Whether the weights were updated: not where the caller's watch took the loss for a spike."""


# budget: eleven parameters, each a value that some caller sets alone
def train(  # noqa: PLR0913
    model: nn.Module,
    objective: Objective,
    batches: BatchSource,
    optimizer: Optimizer,
    *,
    steps: int,
    start: int = 0,
    schedule: Schedule,
    guard: Guard = CLIPPED,
    precision: Precision = FLOAT32,
    seed: int = 0,
    team: Team = ALONE,
) -> Iterator[TrainingStep]:
    """Train from step `start` up to, not including, step `steps`, yielding after each.

    With a checkpoint of step k loaded, `start=k` ends in the same bits as a run that was
    never stopped (same machine, same number of threads): data, learning rate and random
    numbers are functions of the step number. The global random generators are seeded at each step.
    A step that the guard's watch does not admit changes nothing; without one, a loss that is no number raises.
    The processes of a team get the same arguments, each with its own part of the model, and yield the same steps.
    """
    keep_freed_memory()
    device = next(model.parameters()).device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for index in range(start, steps):
        began = time.perf_counter()
        torch.manual_seed(_step_seed(seed, index) + team.seat)
        rate = schedule(index)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        model.train()
        optimizer.zero_grad(set_to_none=True)
        whole = batches.at(index)
        micro_batches = [batch.to(device) for batch in team.share(whole)]
        with _deterministic(device):
            losses = _accumulate(model, objective, micro_batches, precision, index, team, guarded=guard.watch is None)
            norm = team.norm(trained)
            applied = guard.watch is None or (guard.watch.admits(losses["loss"]) and bool(torch.isfinite(norm)))
            if applied:
                check_gradient(norm, index, model)
                if guard.clip is not None and float(factor := guard.clip / (norm + 1e-6)) < 1:
                    team.scale(trained, factor)
                optimizer.step()
        tokens = sum(batch.tokens for batch in whole)
        yield TrainingStep(index, losses, tokens, float(norm), rate, time.perf_counter() - began, applied)


def _accumulate(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[Any],
    precision: Precision,
    index: int,
    team: Team,
    *,
    guarded: bool,
) -> dict[str, float]:
    """Add the gradients of the micro-batches of one step; returns the losses.

    Counts are summed before the first forward pass, so each micro-batch is divided by the
    count of the whole step and the sum is the big batch's loss.
    """
    own: Counter[str] = Counter()
    for batch in batches:
        own.update(objective.counts(batch))
    counts = team.total(own)
    check_counts(counts, index)
    device = next(model.parameters()).device
    means = dict.fromkeys(("loss", *counts), 0.0)

    def loss_of(model: nn.Module, batch: Any) -> Tensor:
        with precision.context(device):
            sums = objective(model, batch)
            loss = _weighted(sums, counts, objective.weights)
            if guarded and not team.together:
                check_loss(loss, index, model, objective, batch)
        means["loss"] += float(loss.detach())
        for name, value in sums.items():
            means[name] += float(value.detach()) / (counts[name] or 1)
        return loss

    team.backward(model, batches, loss_of, precision)
    means = team.total(means)
    if guarded:
        check_mean(means["loss"], index)
    return means


def _weighted(sums: Mapping[str, Tensor], counts: Mapping[str, float], weights: Mapping[str, float]) -> Tensor:
    terms = [weight * sums[name] / counts[name] for name, weight in weights.items() if counts[name]]
    return torch.stack(terms).sum()


def _step_seed(seed: int, step: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=7).digest())


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic algorithms while a step runs; the caller's setting comes back between steps.

    Filling fresh memory, which that flag also does, would only guard against reading it unset, and costs time.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = deterministic  # its one setting is a property of the module object, unknown to mypy
    fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = fill
