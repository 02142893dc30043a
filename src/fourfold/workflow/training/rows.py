"""The rows of metrics.jsonl and curve.jsonl, and how they are cut back to a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fourfold.files import write_jsonl

if TYPE_CHECKING:
    from fourfold.training import TrainingStep


@dataclass(kw_only=True)
class Totals:
    """What a training has taken so far, over all sittings."""

    steps: int = 0
    seconds: float = 0.0
    tokens: int = 0

    def add(self, step: TrainingStep) -> None:
        self.steps, self.seconds, self.tokens = step.index + 1, self.seconds + step.seconds, self.tokens + step.tokens


def curve_steps(steps: int, points: int) -> frozenset[int]:
    """Step counts spread evenly on a logarithmic axis, the last step included."""
    first = max(1.0, steps / 64)
    ratio = (steps / first) ** (1 / max(1, points - 1))
    return frozenset({steps, *(round(first * ratio**index) for index in range(points - 1))})


def metrics_row(step: TrainingStep, totals: Totals) -> dict[str, Any]:
    terms = {name: value for name, value in step.losses.items() if name != "loss"}
    return {
        "step": totals.steps,
        "loss": step.losses["loss"] if math.isfinite(step.losses["loss"]) else None,
        **(terms if len(terms) > 1 and step.applied else {}),
        **({} if step.applied else {"applied": False}),
        "lr": step.learning_rate,
        "gradient_norm": step.gradient_norm if math.isfinite(step.gradient_norm) else None,
        "tokens_per_second": round(step.tokens / max(step.seconds, 1e-9), 1),
        "seconds": round(totals.seconds, 4),
    }


def curve_row(totals: Totals, measured: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    groups = {name: dict(numbers) for name, numbers in measured.items()}
    return {"step": totals.steps, "seconds": round(totals.seconds, 4), "tokens": totals.tokens, **groups}


def cut_back(path: Path, last_step: int, *, write: bool = True) -> list[dict[str, Any]]:
    """Drop rows after a step, and a last line that a crash cut short; returns the rows that stay."""
    rows = [row for row in read_rows(path) if row["step"] <= last_step]
    if write and path.is_file():
        write_jsonl(path, rows)
    return rows


def first_number(row: Mapping[str, Any]) -> float:
    """The first measurement of a row of curve.jsonl; infinite where there is none."""
    groups = (group for group in row.values() if isinstance(group, dict))
    return next((float(value) for group in groups for value in group.values()), math.inf)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a file that grows; none where there is no file."""
    return kept_rows(path.read_text("utf-8", errors="replace").splitlines()) if path.is_file() else []


def kept_rows(lines: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
