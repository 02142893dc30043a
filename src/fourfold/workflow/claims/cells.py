"""From a claim to its cells: one variant and one seed each, trained once and kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from fourfold.errors import UserError, unknown_name
from fourfold.workflow.claims.spec import Claim, Derived, Size, TrainingOptions


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model to train: a value of every axis, and a seed."""

    labels: Mapping[str, str]
    """Axis -> value."""
    seed: int
    model: Mapping[str, Any]
    """The model table."""
    training: TrainingOptions
    steps: int
    derived: Mapping[str, tuple[str, Derived]]
    """Value measured on these weights -> its axis and how."""

    @property
    def name(self) -> str:
        """Folder of the cell."""
        return f"{self.variant}.{self.seed}"

    @property
    def variant(self) -> str:
        return "_".join(re.sub(r"[^0-9A-Za-z]+", "-", label).strip("-").lower() for label in self.labels.values())

    @property
    def title(self) -> str:
        return " · ".join([*self.labels.values(), f"seed {self.seed}"])

    def identity(self) -> dict[str, Any]:
        """What its result depends on, apart from data, measurements and code."""
        return {
            "seed": self.seed,
            "model": dict(self.model),
            "training": self.training.model_dump(),
            "steps": self.steps,
            "derived": {name: (axis, how.model_dump()) for name, (axis, how) in self.derived.items()},
        }


def expand(claim: Claim, size: Size) -> list[Cell]:
    """All cells of a claim at a size, seed by seed, so that what is there early speaks of every variant."""
    amounts = claim.size(size)
    choices = [[(axis, label) for label in claim.labels(axis, size)] for axis in claim.axis]
    cells = []
    for seed in range(1, amounts.seeds + 1):
        for chosen in product(*choices):
            model = {**claim.model, **amounts.model}
            training = {**claim.training.model_dump(), **amounts.training}
            derived: dict[str, tuple[str, Derived]] = {}
            for axis, label in chosen:
                model |= axis.values[label].model
                training |= axis.values[label].training
                derived |= {name: (axis.name, how) for name, how in axis.derived.items() if how.of == label}
            cells.append(
                Cell(
                    labels={axis.name: label for axis, label in chosen},
                    seed=seed,
                    model=model,
                    training=_training(training, size),
                    steps=amounts.steps,
                    derived=derived,
                )
            )
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        raise UserError("two values have names that make the same folder", where=f"claim {claim.name}")
    return cells


def _training(values: dict[str, Any], size: Size) -> TrainingOptions:
    """`[training]` with the changes of a size and of the axes; UserError for what it cannot hold."""
    for key in values:
        if key not in TrainingOptions.model_fields:
            raise unknown_name("key of training", key, TrainingOptions.model_fields, where=size)
    try:
        return TrainingOptions.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"]
        where = f"{size}: training '{first['loc'][0]}'"
        raise UserError(f"{reason[:1].lower()}{reason[1:]}", where=where, got=first["input"]) from None
