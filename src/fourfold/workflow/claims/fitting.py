"""One cell: train through the one loop, measure, leave result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fourfold.errors import UserError
from fourfold.models import build_model, count_parameters, parameter_count
from fourfold.pretraining.corpus import WindowBatches
from fourfold.progress import say
from fourfold.training import FLOAT32, Diverged, causal_language_modelling
from fourfold.workflow.claims.arrangements import ArrangedBatches, arranged
from fourfold.workflow.claims.cells import Cell
from fourfold.workflow.claims.compute import training_flops
from fourfold.workflow.claims.data import ClaimData
from fourfold.workflow.claims.measuring import Subject, measure
from fourfold.workflow.claims.spec import Claim, Equal, Measurement
from fourfold.workflow.context import StageContext
from fourfold.workflow.training import CheckpointOptions, Fit, OptimizerOptions, run_fit

FLOPS_ROWS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What training a cell takes."""

    steps: int
    parameters: int
    flops_a_step: float
    """Forward and backward, matrix products and attention."""

    @property
    def flops(self) -> float:
        return self.steps * self.flops_a_step


def plan_cells(claim: Claim, cells: Sequence[Cell], data: ClaimData) -> list[Plan]:
    """Steps, parameters and compute of every cell; UserError if the values are not as equal as the claim says."""
    plans: dict[str, Plan] = {}
    for cell in cells:
        if cell.variant not in plans:
            plans[cell.variant] = _plan(cell, data)
    first = next(iter(plans.values()))
    _require_equal(claim.equal, plans)
    found = []
    for cell in cells:
        plan = plans[cell.variant]
        steps = round(first.flops_a_step * cell.steps / plan.flops_a_step) if claim.equal.flops else cell.steps
        found.append(Plan(steps=steps, parameters=plan.parameters, flops_a_step=plan.flops_a_step))
    return found


def _plan(cell: Cell, data: ClaimData) -> Plan:
    """Compute is counted on two rows of a real step."""
    vocabulary_size = data.tokenizer.vocabulary_size
    module = build_model(cell.model, vocabulary_size, seed=cell.seed)
    rows = torch.from_numpy(data.rows(cell.training.context, FLOPS_ROWS * cell.training.context)[:FLOPS_ROWS])
    batch = arranged(rows, cell.training.arrangement, data.start_id)
    return Plan(
        steps=cell.steps,
        parameters=parameter_count(cell.model, vocabulary_size),
        flops_a_step=training_flops(module, batch) * cell.training.batch_size / len(rows),
    )


def _require_equal(equal: Equal, plans: Mapping[str, Plan]) -> None:
    if equal.parameters is None:
        return
    counts = {variant: plan.parameters for variant, plan in plans.items()}
    smallest, largest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[largest] > (1 + equal.parameters) * counts[smallest]:
        raise UserError(
            "the variants do not have equally many parameters",
            expected=f"at most {equal.parameters:.0%} apart",
            got=f"{smallest} {counts[smallest]:,} and {largest} {counts[largest]:,}",
        )


def fit_cell(
    context: StageContext, cell: Cell, plan: Plan, data: ClaimData, measurements: Sequence[Measurement]
) -> dict[str, Any]:
    """Train one cell inside `context.folder`, and what was measured on it."""
    module = build_model(cell.model, data.tokenizer.vocabulary_size, seed=cell.seed)
    diverged = _train(context, cell, plan, data, module)
    values: dict[str, Any] = {"measured": [_result(context, cell, data, module, measurements, diverged, None)]}
    for name, (axis, how) in cell.derived.items():
        derived = _result(context, cell, data, module, measurements, diverged, how.scaling)
        values["measured"].append({**derived, "labels": {**cell.labels, axis: name}})
    return values | {
        "seed": cell.seed,
        "parameters": count_parameters(module),
        "steps": plan.steps,
        "flops": plan.flops,
        "diverged": diverged,
    }


def _train(context: StageContext, cell: Cell, plan: Plan, data: ClaimData, module: nn.Module) -> bool:
    """Train to the end, or until it diverges; returns whether it did. fp32, so that precision plays no part."""
    training = cell.training
    options = OptimizerOptions(
        lr=training.lr,
        weight_decay=training.weight_decay,
        schedule=training.schedule,
        warmup=training.warmup,
        clip=training.clip,
    )
    windows = WindowBatches(data.train, training.batch_size, training.context, cell.seed, data.start_id)
    fit = Fit(
        model=module,
        objective=causal_language_modelling(),
        batches=ArrangedBatches(windows, training.arrangement, data.start_id),
        optimizer=options.make(module),
        update=options,
        precision=FLOAT32,
        steps=plan.steps,
        label=cell.title,
    )
    try:
        run_fit(context, fit, CheckpointOptions())
    except Diverged as error:
        say(f"{cell.title}: diverged ({error})")
        return True
    return False


def _result(
    context: StageContext,
    cell: Cell,
    data: ClaimData,
    module: nn.Module,
    measurements: Sequence[Measurement],
    diverged: bool,
    scaling: str | None,
) -> dict[str, Any]:
    numbers: dict[str, float] = {}
    curves: dict[str, list[tuple[float, float]]] = {}
    for measurement in measurements:
        subject = Subject(
            module=module,
            data=data,
            training=cell.training,
            tokens=measurement.tokens,
            log=context.folder / "metrics.jsonl",
            diverged=diverged,
            scaling=scaling,
        )
        measured = measure(measurement.kind, subject)
        numbers |= measured.numbers
        curves |= measured.curves
    return {"labels": dict(cell.labels), "numbers": numbers, "curves": curves}
