"""From item scores to rows of a result: value, interval, chance, what could have been seen."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fourfold.evaluation.task import Item, Metric, Task
from fourfold.measures import (
    Interval,
    PairedResult,
    detectable_effect_paired,
    holm,
    is_binary,
    mean_interval,
    mean_of_means_interval,
    paired_difference,
    verdict_of,
)

LEVEL = 0.95
MEAN_OF_SUBJECTS = "_mean_of_subjects"
Row = dict[str, Any]


class Cellmark(NamedTuple):
    """Which model answered which task how."""

    model: str
    label: str
    solver: str
    seconds: float
    arithmetic: str | None
    """The numbers it was computed with, where they are known: not an endpoint's."""


def metric_rows(task: Task, mark: Cellmark, scores: Sequence[Mapping[str, float]], seed: int) -> list[Row]:
    """One row a metric, in the task's order."""
    return [
        {"model": mark.model, "label": mark.label, "task": task.name, "solver": mark.solver, "method": metric.method}
        | metric_numbers(metric, [score[metric.name] for score in scores], seed)
        | {"seconds": round(mark.seconds, 3), "arithmetic": mark.arithmetic}
        for metric in task.metrics_of(mark.solver)
    ]


def subject_rows(first: Row, items: Sequence[Item], scores: Sequence[float], seed: int) -> list[Row]:
    """For items of several subjects: the mean over subjects, each counting the same, then a row a subject."""
    groups: dict[str, list[float]] = {}
    for item, score in zip(items, scores, strict=True):
        groups.setdefault(item.subject, []).append(score)
    if len(groups) < 2:
        return []
    names = ("model", "label", "task", "solver", "method", "metric", "higher_is_better", "level", "chance")
    head = {name: first[name] for name in names}
    macro = mean_of_means_interval(list(groups.values()), LEVEL)
    mean = head | {"metric": f"{first['metric']}{MEAN_OF_SUBJECTS}"} | _bounds(macro) | {"n": len(items)}
    return [
        mean | {"subjects": len(groups)},
        *(
            head | {"subject": subject} | _bounds(mean_interval(values, LEVEL, seed=seed)) | {"n": len(values)}
            for subject, values in groups.items()
        ),
    ]


def _bounds(interval: Interval) -> Row:
    """Value, bounds and method; bounds that do not exist become None."""
    low, high = (None if np.isnan(bound) else bound for bound in (interval.low, interval.high))
    return {"value": interval.value, "low": low, "high": high, "interval": interval.method, "detectable": None}


def metric_numbers(metric: Metric, values: Sequence[float], seed: int) -> Row:
    """The fields of a row that say how a metric came out over some items."""
    interval = mean_interval(values, LEVEL, seed=seed)
    detectable = detectable_effect_paired(len(values), interval.value) if is_binary(values) else None
    shown = metric.of_mean or float
    return {
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "value": shown(interval.value),
        "low": shown(interval.low),
        "high": shown(interval.high),
        "level": LEVEL,
        "interval": interval.method,
        "n": len(values),
        "chance": metric.chance,
        "detectable": detectable,
    }


def comparison_row(
    head: Row,
    a: Sequence[float],
    b: Sequence[float],
    *,
    higher_is_better: bool,
    seed: int,
    strata: Sequence[Hashable] | None = None,
) -> Row:
    """b against a on the same items; `settle` gives the verdict once all comparisons are known."""
    result = paired_difference(a, b, level=LEVEL, seed=seed, higher_is_better=higher_is_better, strata=strata)
    moved = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    discordance = float(np.mean(moved != 0))
    return (
        head
        | paired_numbers(result, higher_is_better)
        | {
            "gained": int((moved > 0).sum()),
            "lost": int((moved < 0).sum()),
            "detectable": detectable_effect_paired(result.n, 0.5, discordance=discordance)
            if is_binary(a) and is_binary(b)
            else None,
        }
    )


def paired_numbers(result: PairedResult, higher_is_better: bool) -> Row:
    """The fields of a paired result; bounds that do not exist (one block) become None."""
    return {
        "difference": result.difference,
        "low": None if np.isnan(result.low) else result.low,
        "high": None if np.isnan(result.high) else result.high,
        "level": LEVEL,
        "p_value": result.p_value,
        "n": result.n,
        "method": result.method,
        "higher_is_better": higher_is_better,
    }


def settle(comparisons: Sequence[Row]) -> list[Row]:
    """The comparisons with Holm's correction over all of them, and the verdicts that follow from it."""
    adjusted = holm([row["p_value"] for row in comparisons])
    return [
        row
        | {
            "p_holm": p_value,
            "verdict": verdict_of(row["difference"], p_value, LEVEL, row["higher_is_better"]),
        }
        for row, p_value in zip(comparisons, adjusted, strict=True)
    ]
