"""Whether a stage's training is compiled: decided once and kept in compile.json, because compiled and plain steps
differ in their last bits and a resumed run must end like one that was never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fourfold.files import read_json, write_json
from fourfold.progress import say
from fourfold.workflow.training.options import Budget

if TYPE_CHECKING:
    from torch import nn

    from fourfold.training import BatchSource, Objective, Precision

Compile = bool | Literal["auto"]
PAYS_AFTER = 300.0
"""Seconds of plain training from which `auto` compiles: it takes a minute or so at first, then steps are shorter."""
FEWEST_STEPS = 100
"""Fewer are never compiled by `auto`, nor timed to find out."""


def compiles(wanted: Compile, steps: float, seconds: float) -> bool:
    """Whether a training of so many steps and seconds of plain training is compiled, if it can be."""
    return wanted is True or (wanted == "auto" and steps >= FEWEST_STEPS and seconds >= PAYS_AFTER)


def compile_if_worth(
    folder: Path,
    wanted: Compile,
    budget: Budget,
    model: nn.Module,
    objective: Objective,
    batches: BatchSource,
    precision: Precision,
) -> Objective:
    """The objective to train with, after the model's layers are compiled where that was decided."""
    from fourfold.training import compile_regions, trial_step_seconds, why_not

    path = folder / "compile.json"
    if path.is_file():
        chosen = bool(read_json(path)["compiled"])
    else:
        chosen = wanted is True or (
            wanted == "auto" and _plain_seconds(budget, model, objective, batches, precision) >= PAYS_AFTER
        )
    obstacle = why_not(model) if chosen else None
    if obstacle is not None and wanted is True:
        say(f"not compiled: {obstacle}; training goes on without")
    if not path.is_file():
        write_json(path, {"compiled": chosen and obstacle is None, "asked": wanted})
    elif obstacle is not None:
        say(f"was compiled before, and is not now: {obstacle}; the weights will differ in their last bits")
    if not chosen or obstacle is not None:
        return objective
    say("compiling the layers; the first time takes a minute, later ones seconds (--no-compile goes without)")
    objective = compile_regions(model, objective)
    seconds = trial_step_seconds(model, objective, batches, precision=precision)
    say(f"compiled in {seconds:.0f} s; kept for later runs")
    return objective


def _plain_seconds(
    budget: Budget, model: nn.Module, objective: Objective, batches: BatchSource, precision: Precision
) -> float:
    """How long the training would take uncompiled; 0 where it is short or cannot be compiled anyway."""
    from fourfold.training import trial_step_seconds, why_not

    if budget.seconds is not None:
        return budget.seconds if why_not(model) is None else 0.0
    steps = budget.steps or (budget.tokens or 0) / max(1, sum(batch.tokens for batch in batches.at(0)))
    if steps < FEWEST_STEPS or why_not(model) is not None:
        return 0.0
    trial_step_seconds(model, objective, batches, precision=precision)  # warms up
    return steps * trial_step_seconds(model, objective, batches, precision=precision)
