"""From a claim to its cells: one variant and one seed each, trained once and kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
    """Value measured on this model -> its axis and how."""
    after: str | None = None
    """The cell whose weights it starts from."""

    @property
    def name(self) -> str:
        """Folder of the cell."""
        return cell_name(self.labels.values(), self.seed)

    @property
    def variant(self) -> str:
        return variant_name(self.labels.values())

    @property
    def counted(self) -> bool:
        """An n-gram model: no training, one pass of counting."""
        return self.model.get("family") == "ngram"

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
            "after": self.after,
        }


def variant_name(labels: Iterable[str]) -> str:
    """The values of all axes as the name of a file."""
    return "_".join(re.sub(r"[^0-9A-Za-z]+", "-", label).strip("-").lower() for label in labels)


def cell_name(labels: Iterable[str], seed: int) -> str:
    return f"{variant_name(labels)}.{seed}"


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
            before = {axis.name: axis.values[label].after or label for axis, label in chosen}
            labels = {axis.name: label for axis, label in chosen}
            for axis, label in chosen:
                model |= axis.values[label].model
                training |= axis.values[label].training
                derived |= {name: (axis.name, how) for name, how in axis.derived.items() if how.of == label}
            options = _training(training, size)
            cells.append(
                Cell(
                    labels=labels,
                    seed=seed,
                    model=model,
                    training=options,
                    steps=max(1, round(options.length * amounts.steps)),
                    derived=derived,
                    after=None if before == labels else cell_name(before.values(), seed),
                )
            )
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names):
        raise UserError("two values have names that make the same folder", where=f"claim {claim.name}")
    for cell in cells:
        if cell.after is not None and cell.after not in names:
            raise UserError(f"'{cell.title}' starts from a model that is not run", where=size, got=cell.after)
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
