"""What every cell of a claim will take, and whether the claim's values are as equal as it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fourfold.errors import UserError
from fourfold.models import build_model, parameter_count
from fourfold.workflow.claims.arrangements import arranged
from fourfold.workflow.claims.cells import Cell
from fourfold.workflow.claims.compute import training_flops
from fourfold.workflow.claims.data import ClaimData
from fourfold.workflow.claims.spec import Claim, Equal

FLOPS_ROWS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What making the model of a cell takes."""

    steps: int
    """Of an n-gram model 0: it is counted."""
    parameters: int
    """Of an n-gram model 0: they are known when it is counted."""
    flops_a_step: float
    """Forward and backward, matrix products and attention."""

    @property
    def flops(self) -> float:
        return self.steps * self.flops_a_step


COUNTING = Plan(steps=0, parameters=0, flops_a_step=0.0)


def plan_cells(claim: Claim, cells: Sequence[Cell], data: ClaimData) -> list[Plan]:
    """Steps, parameters and compute of every cell; UserError if the values are not as equal as the claim says."""
    plans: dict[str, Plan] = {}
    for cell in cells:
        if cell.variant not in plans:
            plans[cell.variant] = _plan(cell, data)
    trained = [plan for plan in plans.values() if plan.steps]
    first = trained[0] if trained else COUNTING
    _require_equal(claim.equal, plans)
    found = []
    for cell in cells:
        plan = plans[cell.variant]
        if cell.counted:
            found.append(plan)
            continue
        steps = round(first.flops_a_step * cell.steps / plan.flops_a_step) if claim.equal.flops else cell.steps
        found.append(Plan(steps=steps, parameters=plan.parameters, flops_a_step=plan.flops_a_step))
    return found


def _plan(cell: Cell, data: ClaimData) -> Plan:
    """Compute is counted on two rows of a real step."""
    if cell.counted:
        return COUNTING
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
    counts = {variant: plan.parameters for variant, plan in plans.items() if plan.steps}
    if equal.parameters is None or not counts:
        return
    smallest, largest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[largest] > (1 + equal.parameters) * counts[smallest]:
        raise UserError(
            "the variants do not have equally many parameters",
            expected=f"at most {equal.parameters:.0%} apart",
            got=f"{smallest} {counts[smallest]:,} and {largest} {counts[largest]:,}",
        )
