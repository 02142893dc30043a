"""Options and the resumable loop shared by the stages that train by gradient."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from fourfold.files import append_jsonl, read_json, write_json, write_jsonl
from fourfold.progress import say, task
from fourfold.workflow.kinds import Options

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from fourfold.training import BatchSource, Objective, Precision, Schedule, TrainingStep
    from fourfold.workflow.context import StageContext


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


class OptimizerOptions(Options):
    """The optimizer and its learning rate over time."""

    kind: Literal["adamw", "adafactor"] = "adamw"
    """The method. T5 and its start go with `adafactor`, whose rate is relative to the size of what it changes."""
    lr: float = Field(default=3e-3, gt=0, le=1)
    """Peak learning rate."""
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    """Pull of the weight matrices towards zero."""
    schedule: Literal["constant", "linear", "cosine", "wsd"] = "cosine"
    """Shape of the learning rate after the warm-up."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    final: float = Field(default=0.1, ge=0, le=1)
    """Learning rate of the last step, as a share of the peak."""
    clip: float = Field(default=1.0, gt=0)
    """Longest gradient."""

    def make(self, model: nn.Module) -> Optimizer:
        from fourfold.training import adafactor, adamw

        make = adafactor if self.kind == "adafactor" else adamw
        return make(model, self.lr, weight_decay=self.weight_decay)

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


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One training, ready to start or to go on."""

    model: nn.Module
    objective: Objective
    batches: BatchSource
    optimizer: Optimizer
    precision: Precision
    steps: int
    schedule: Schedule
    clip: float
    label: str


@dataclass(kw_only=True)
class Totals:
    """What a training has taken so far, over all sittings."""

    steps: int = 0
    seconds: float = 0.0
    tokens: int = 0

    def add(self, step: TrainingStep) -> None:
        self.steps, self.seconds, self.tokens = step.index + 1, self.seconds + step.seconds, self.tokens + step.tokens


Measure = Callable[[], Mapping[str, Mapping[str, float]]]
"""Numbers by name in groups, such as `bits_per_byte`, for a row of curve.jsonl."""


def decide_steps(folder: Path, budget: Budget, tokens_a_step: int, probe: Callable[[float], int]) -> int:
    """The number of steps of a budget, decided once and kept in budget.json."""
    path = folder / "budget.json"
    if path.is_file():
        return int(read_json(path)["steps"])
    if budget.steps is not None:
        steps = budget.steps
    elif budget.tokens is not None:
        steps = max(1, math.ceil(budget.tokens / tokens_a_step))
    else:
        assert budget.seconds is not None  # Budget has exactly one
        steps = probe(budget.seconds)
        say(
            f"{budget.seconds:g} s are about {steps} steps on this machine; recorded, so that a resumed run ends alike."
        )
    write_json(path, {"steps": steps, "asked": budget.model_dump(exclude_none=True)})
    return steps


def curve_steps(steps: int, points: int) -> frozenset[int]:
    """Step counts spread evenly on a logarithmic axis, the last step included."""
    first = max(1.0, steps / 64)
    ratio = (steps / first) ** (1 / max(1, points - 1))
    return frozenset({steps, *(round(first * ratio**index) for index in range(points - 1))})


def run_fit(
    context: StageContext,
    fit: Fit,
    checkpoint: CheckpointOptions,
    measure: Measure | None = None,
    measured: frozenset[int] = frozenset(),
) -> Totals:
    """Train to the end from wherever the stage folder says; bit-identical to a training never stopped.

    Writes metrics.jsonl and, at the steps `measured`, curve.jsonl; both are cut back to the
    checkpoint that is resumed from.
    """
    from fourfold.training import load_latest_checkpoint, train

    checkpoints = context.folder / "checkpoints"
    totals = Totals()
    found = load_latest_checkpoint(checkpoints, fit.model, fit.optimizer)
    if found:
        totals = Totals(steps=found[0], seconds=found[1]["seconds"], tokens=found[1]["tokens"])
        say(f"{context.name}: continuing after step {totals.steps} of {fit.steps}")
    for name in ("metrics.jsonl", "curve.jsonl"):
        cut_back(context.folder / name, totals.steps)
    steps = train(
        fit.model,
        fit.objective,
        fit.batches,
        fit.optimizer,
        steps=fit.steps,
        start=totals.steps,
        schedule=fit.schedule,
        clip=fit.clip,
        precision=fit.precision,
        seed=context.seed,
    )
    saved_at = time.monotonic()
    with context.interrupts.deferred(), task(f"train {fit.label}", fit.steps, "steps") as work:
        work.advance(totals.steps)
        for step in steps:
            totals.add(step)
            append_jsonl(context.folder / "metrics.jsonl", metrics_row(step, totals))
            if measure and totals.steps in measured:
                append_jsonl(context.folder / "curve.jsonl", curve_row(totals, measure()))
            work.advance(1, f"loss {step.losses['loss']:.3f}")
            due = totals.steps % checkpoint.steps == 0 or time.monotonic() - saved_at >= checkpoint.seconds
            if due or context.interrupts.pending or totals.steps == fit.steps:
                extra = {"seconds": totals.seconds, "tokens": totals.tokens}
                save(context, checkpoints, fit, totals.steps, extra)
                saved_at = time.monotonic()
                context.interrupts.check()
    return totals


def save(context: StageContext, folder: Path, fit: Fit, step: int, extra: Mapping[str, Any]) -> None:
    from fourfold.training import save_checkpoint

    save_checkpoint(folder, fit.model, fit.optimizer, step, extra)
    context.ledger.save()


def remove_checkpoints(folder: Path) -> None:
    """Drop what only a crash would have needed; not before the stage is marked done."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def metrics_row(step: TrainingStep, totals: Totals) -> dict[str, Any]:
    terms = {name: value for name, value in step.losses.items() if name != "loss"}
    return {
        "step": totals.steps,
        "loss": step.losses["loss"],
        **(terms if len(terms) > 1 else {}),
        "lr": step.learning_rate,
        "gradient_norm": step.gradient_norm,
        "tokens_per_second": round(step.tokens / max(step.seconds, 1e-9), 1),
        "seconds": round(totals.seconds, 4),
    }


def curve_row(totals: Totals, measured: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    groups = {name: dict(numbers) for name, numbers in measured.items()}
    return {"step": totals.steps, "seconds": round(totals.seconds, 4), "tokens": totals.tokens, **groups}


def cut_back(path: Path, last_step: int) -> None:
    """Drop rows after a step, and a last line that a crash cut short."""
    if path.is_file():
        write_jsonl(path, kept_rows(path.read_text("utf-8", errors="replace").splitlines(), last_step))


def kept_rows(lines: Sequence[str], last_step: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if row["step"] > last_step:
            break
        rows.append(row)
    return rows
