"""A claim's tuned axis: a value of it for every combination of the others, chosen without looking at held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fourfold.workflow.claims.spec import Claim
from fourfold.workflow.claims.verdicts import Row


def tuned_rows(claim: Claim, rows: Sequence[Row]) -> list[Row]:
    """Of every combination of the other axes, the rows of the value whose training ended best on average over seeds.

    All rows where nothing is tuned.
    """
    if claim.tuned is None:
        return list(rows)
    tried: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in rows:
        ends = tried.setdefault(_others(claim, row.labels), {})
        ends.setdefault(row.labels[claim.tuned.axis], []).append(row.numbers[claim.tuned.by])
    best = {others: min(ends, key=lambda value: float(np.mean(ends[value]))) for others, ends in tried.items()}
    return [row for row in rows if best[_others(claim, row.labels)] == row.labels[claim.tuned.axis]]


def _others(claim: Claim, labels: Mapping[str, str]) -> tuple[str, ...]:
    assert claim.tuned is not None
    return tuple(label for axis, label in labels.items() if axis != claim.tuned.axis)
