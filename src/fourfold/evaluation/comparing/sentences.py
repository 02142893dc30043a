"""What a comparison says, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fourfold.evaluation.rows import Row


def sentence_of(row: Mapping[str, Any]) -> str:
    """One comparison in one sentence: how much, of how many, and whether it is noise."""
    return f"{row['task']}: {_judged(row)}{_hint(row)}.{_without_flagged(row)}"


def amount(value: float | None, row: Mapping[str, Any], unit: bool = True) -> str:
    """A difference with its sign: in points where scores are shares, else in the metric's own unit."""
    if value is None:
        return "unknown"
    if row.get("in_points", True):
        return f"{100 * value:+.1f}" + (" points" if unit else "")
    return f"{value:+.3g}" + (f" {row['metric']}" if unit else "")


def _judged(row: Mapping[str, Any]) -> str:
    low, high = amount(row["low"], row, unit=False), amount(row["high"], row, unit=False)
    evidence = f"{row['n']} items, 95 % interval {low} to {high}, p = {_written(row['p_holm'])}"
    if row["verdict"] != "no difference shown":
        return f"{amount(row['difference'], row)}, {row['verdict']} beyond chance ({evidence})"
    if row["difference"] == 0 and row["gained"] == 0:
        return f"no item came out differently ({row['n']} items)"
    return f"your {amount(row['difference'], row)} is noise at this size ({evidence})"


def _hint(row: Mapping[str, Any]) -> str:
    if row["verdict"] != "no difference shown" or row["gained"] + row["lost"] == 0 or row["detectable"] is None:
        return ""
    if row["detectable"] >= 1:
        return "; so few items cannot show any difference"
    return f"; from about {100 * row['detectable']:.1f} points on it would usually show"


def _without_flagged(row: Mapping[str, Any]) -> str:
    clean = row.get("clean")
    if not clean:
        return ""
    flagged = row["n"] - clean["n"]
    return f" Without the {flagged} that stand in the training data: {_judged(clean)}."


def summary(rows: Sequence[Row]) -> str:
    """All comparisons in one sentence."""
    if len(rows) == 1:
        return str(rows[0]["sentence"])
    named = {verdict: [r["task"] for r in rows if r["verdict"] == verdict] for verdict in ("better", "worse")}
    parts = [f"{verdict} on {', '.join(tasks)}" for verdict, tasks in named.items() if tasks]
    quiet = len(rows) - sum(map(len, named.values()))
    if not parts:
        largest = max(rows, key=lambda row: abs(row["difference"]))
        most = f"the largest, {amount(largest['difference'], largest)} on {largest['task']}, is noise"
        return f"No difference shown on {len(rows)} comparisons: {most}."
    rest = f"; no difference shown on {quiet} of {len(rows)}" if quiet else ""
    return f"The second is {' and '.join(parts)}{rest}."


def _written(p_value: float) -> str:
    return f"{p_value:.2g}" if p_value >= 1e-4 else "less than 0.0001"
