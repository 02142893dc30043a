"""The numbers of a claim, gathered from its cells, and results.json for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fourfold.measures import student_interval, wilson_interval
from fourfold.workflow.claims.drawing import Curve
from fourfold.workflow.claims.listing import models_of
from fourfold.workflow.claims.quantities import GIVES, QUANTITIES
from fourfold.workflow.claims.spec import Claim, Size
from fourfold.workflow.claims.tuning import tuned_rows
from fourfold.workflow.claims.verdicts import Comparison, Row, Verdict, compare, sentence_of, verdict_of


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything a claim found."""

    rows: tuple[Row, ...]
    tuned: tuple[Row, ...]
    """The rows that are compared: all of them, or those of the best value of a tuned axis."""
    curves: Mapping[str, tuple[Curve, ...]]
    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    sentence: str
    models: tuple[Mapping[str, Any], ...]
    """Parameters, steps and compute of every variant."""
    data: Mapping[str, Any]


class Took(NamedTuple):
    """How long the cells took, added up."""

    seconds: float
    processor_seconds: float
    """Of all cores: what is left of the time when others use the machine, too; 0 where it was not measured."""


def gather(claim: Claim, size: Size, records: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> Results:
    """Read the cells' records and apply the rule."""
    rows, models = [], {}
    curves: dict[str, list[Curve]] = {}
    for record in records:
        labels = record["measured"][0]["labels"]
        models[tuple(labels.values())] = {
            "labels": labels,
            **{key: record[key] for key in ("making", "parameters", "steps", "flops")},
        }
        for measured in record["measured"]:
            rows.append(Row(labels=measured["labels"], seed=record["seed"], numbers=measured["numbers"]))
            for name, points in measured["curves"].items():
                pairs = tuple((float(at), float(value)) for at, value in points)
                curves.setdefault(name, []).append(Curve(labels=measured["labels"], seed=record["seed"], points=pairs))
    tuned = tuned_rows(claim, rows)
    comparisons = compare(claim, size, tuned)
    return Results(
        rows=tuple(rows),
        tuned=tuple(tuned),
        curves={name: tuple(found) for name, found in curves.items()},
        comparisons=tuple(comparisons),
        verdict=verdict_of(comparisons),
        sentence=sentence_of(comparisons),
        models=tuple(models.values()),
        data=data,
    )


def measures_of(claim: Claim) -> list[str]:
    """The quantities a claim measures, in the order of its file."""
    given = [name for measurement in claim.measurement for name in GIVES[measurement.kind] if name in QUANTITIES]
    return list(dict.fromkeys(given))


def summary(claim: Claim, results: Results) -> list[dict[str, Any]]:
    """A row a variant: its labels, and of each quantity the mean over seeds with its 95 % interval."""
    variants = list(dict.fromkeys(tuple(row.labels.items()) for row in results.rows))
    table = []
    for variant in variants:
        rows = [row for row in results.rows if tuple(row.labels.items()) == variant]
        entry: dict[str, Any] = {"labels": dict(variant), "seeds": len(rows), "compared": rows[0] in results.tuned}
        for name in measures_of(claim):
            values = np.array([row.numbers[name] for row in rows])
            binary = QUANTITIES[name].binary
            interval = wilson_interval(int(values.sum()), len(values)) if binary else student_interval(values)
            entry[name] = {"mean": interval.value, "low": interval.low, "high": interval.high}
        table.append(entry)
    return table


def record(claim: Claim, size: Size, results: Results, took: Took) -> dict[str, Any]:
    """What results.json holds."""
    return {
        "claim": claim.name,
        "size": size,
        "section": claim.section,
        "title": claim.title.model_dump(),
        "statement": claim.statement.model_dump(),
        "cites": claim.cites,
        "runs_on": models_of(claim).model_dump(),
        "verdict": results.verdict,
        "sentence": results.sentence,
        "seconds": round(took.seconds, 1),
        "processor_seconds": round(took.processor_seconds, 1),
        "data": dict(results.data),
        "models": [dict(model) for model in results.models],
        "comparisons": [dataclasses.asdict(comparison) for comparison in results.comparisons],
        "summary": summary(claim, results),
        "rows": [dataclasses.asdict(row) for row in results.rows],
    }
