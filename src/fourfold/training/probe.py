"""How many steps fit a number of seconds, measured without touching the run."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fourfold.errors import UserError
from fourfold.training.batches import BatchSource
from fourfold.training.loop import train
from fourfold.training.objectives import Objective
from fourfold.training.precision import FLOAT32, Precision
from fourfold.training.schedules import constant
from fourfold.training.team import ALONE, Team

WARM_UP = 2
FEWEST = 3
MOST = 20


def steps_for_seconds(
    model: nn.Module,
    objective: Objective,
    batches: BatchSource,
    optimizer: Optimizer,
    seconds: float,
    *,
    precision: Precision = FLOAT32,
    team: Team = ALONE,
) -> int:
    """Steps of this training that take about `seconds`, at least 1.

    Runs two steps to warm up and then times 3 to 20, for at most a twentieth of the budget
    where that allows three. Model, optimizer and random generator are as before afterwards.
    The processes of a team probe together, and each has a number from its own clock.
    """
    if seconds <= 0:
        raise UserError("a budget must be positive", expected="more than 0 seconds", got=seconds)
    times: list[float] = []
    with _unchanged(model, optimizer):
        began = time.perf_counter()
        for step in train(
            model,
            objective,
            batches,
            optimizer,
            steps=WARM_UP + MOST,
            schedule=constant(0.0),
            precision=precision,
            team=team,
        ):
            if step.index >= WARM_UP:
                times.append(step.seconds)
            if len(times) >= FEWEST and team.any(time.perf_counter() - began > seconds / 20):
                break
    return max(1, round(seconds / statistics.fmean(times)))


@contextmanager
def _unchanged(model: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    weights = [(tensor, tensor.detach().clone()) for tensor in _changing(model)]
    state: dict[Any, Any] = {parameter: copy.deepcopy(kept) for parameter, kept in optimizer.state.items()}
    rates = [group["lr"] for group in optimizer.param_groups]
    generator = torch.get_rng_state()
    mode = model.training
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, kept in weights:
                tensor.copy_(kept)
        optimizer.zero_grad(set_to_none=True)
        optimizer.state.clear()
        optimizer.state.update(state)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        torch.set_rng_state(generator)
        model.train(mode)


def _changing(model: nn.Module) -> list[torch.Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad] + list(model.buffers())
