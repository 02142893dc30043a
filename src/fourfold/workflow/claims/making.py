"""Experiments on models of our own: make the model of a cell, measure it, say what its result depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fourfold.files import hash_value
from fourfold.models import count_parameters
from fourfold.workflow.claims.cells import Cell, expand
from fourfold.workflow.claims.counting import count_cell
from fourfold.workflow.claims.data import make_data
from fourfold.workflow.claims.fitting import train_cell
from fourfold.workflow.claims.measuring import Subject, measure
from fourfold.workflow.claims.planning import plan_cells
from fourfold.workflow.claims.spec import Claim, Size
from fourfold.workflow.context import StageContext
from fourfold.workflow.fingerprint import code_fingerprint
from fourfold.workflow.ledger import finished

CODE = (
    "models.transformer",
    "models.recurrent",
    "models.ngram",
    "models.registry",
    "models.linear",
    "kernels",
    "training",
    "workflow.training",
    *(
        f"workflow.claims.{name}"
        for name in ("arrangements", "counting", "data", "fitting", "making", "measuring", "mixing", "planning",
                     "sparsity", "stretching")
    ),
)  # fmt: skip
"""The source a cell's numbers depend on: a change there makes it again."""


class OwnModels:
    """An experiment whose models are trained or counted here, on the claim's own text."""

    code: tuple[str, ...] = CODE

    def __init__(self, claim: Claim, size: Size, folder: Path) -> None:
        self._claim, self._folder = claim, folder
        self._data = make_data(claim.data, folder)
        self.cells: Sequence[Cell] = expand(claim, size)
        self._plans = dict(zip((c.name for c in self.cells), plan_cells(claim, self.cells, self._data), strict=True))

    def describe(self) -> dict[str, Any]:
        """The data, for results.json and the methods."""
        return self._data.describe()

    def work(self, cell: Cell) -> float:
        """How much there is to do, in a unit of its own; counting takes next to nothing beside training."""
        return self._plans[cell.name].flops or 1.0

    def keys(self) -> dict[str, str]:
        """What every cell's result depends on, as a hash."""
        text = finished(self._folder / "data" / "tokenizer.bpe")
        assert text is not None  # make_data ends with it
        common = {
            "data": [text["key"], list(self._claim.data.second)],
            "measurement": [measurement.model_dump() for measurement in self._claim.measurement],
            "code": code_fingerprint(CODE),
        }
        found: dict[str, str] = {}
        for cell in self.cells:
            before = None if cell.after is None else found[cell.after]
            own = {"cell": cell.identity(), "steps": self._plans[cell.name].steps, "after": before}
            found[cell.name] = hash_value({**common, **own})
        return found

    def make(self, context: StageContext, cell: Cell) -> dict[str, Any]:
        """Count or train the model of a cell inside `context.folder`, and what was measured on it."""
        plan = self._plans[cell.name]
        if cell.counted:
            counted = count_cell(cell, self._data)
            subject = Subject(module=counted, data=self._data, training=cell.training, seed=cell.seed)
            made = {"making": "counted", "parameters": counted.numbers, "diverged": False}
        else:
            origin = None if cell.after is None else context.folder.parent / cell.after
            module, diverged = train_cell(context, cell, plan, self._data, origin)
            subject = Subject(
                module=module,
                data=self._data,
                training=cell.training,
                seed=cell.seed,
                log=context.folder / "metrics.jsonl",
                diverged=diverged,
            )
            made = {"making": "trained", "parameters": count_parameters(module), "diverged": diverged}
        measured = [{"labels": dict(cell.labels), **self._measured(subject)}]
        for name, (axis, how) in cell.derived.items():
            labels = {**cell.labels, axis: name}
            measured.append({"labels": labels, **self._measured(replace(subject, scaling=how.scaling))})
        return {"measured": measured, "seed": cell.seed, "steps": plan.steps, "flops": plan.flops, **made}

    def _measured(self, subject: Subject) -> dict[str, Any]:
        numbers: dict[str, float] = {}
        curves: dict[str, list[tuple[float, float]]] = {}
        for measurement in self._claim.measurement:
            measured = measure(measurement.kind, replace(subject, tokens=measurement.tokens))
            numbers |= measured.numbers
            curves |= measured.curves
        return {"numbers": numbers, "curves": curves}
