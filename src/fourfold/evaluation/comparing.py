"""`compare`: is the second result better than the first, or is it noise? Two result folders, item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation.rows import LEVEL, Row, comparison_row, settle
from fourfold.evaluation.sample_files import Sample, read_samples

Key = tuple[str, str]
"""(item id, hash of its content): items of one task are the same when both agree."""


class _Side(NamedTuple):
    """One model's samples by task and solver."""

    path: Path
    model: str
    cells: dict[tuple[str, str], dict[Key, Sample]]


def compare(
    a: str | Path, b: str | Path, *, model_a: str | None = None, model_b: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """Compare two result folders (or samples.jsonl files) of `evaluate` over the items they share.

    Each task gets a paired difference b - a with interval and exact test, the items gained
    and lost, and the smallest difference that could have been seen; verdicts are corrected
    over the tasks (Holm). A solver is compared with itself, or with the other side's only
    solver of that task. `model_a` and `model_b` choose among several models of a file.
    """
    left, right = _side(Path(a), model_a, "--model-a"), _side(Path(b), model_b, "--model-b")
    matches = [(ka, kb) for ka in left.cells for kb in right.cells if _match(ka, kb, left, right)]
    rows, flips, notes = [], [], []
    for key_a, key_b in matches:
        cell_a, cell_b = left.cells[key_a], right.cells[key_b]
        shared = [key for key in cell_a if key in cell_b]
        if not shared:
            notes.append(f"{key_a[0]}: no common items")
            continue
        head = {
            "task": key_a[0],
            "solver": key_a[1],
            "solver_b": key_b[1],
            "value_a": sum(cell_a[key].score for key in shared) / len(shared),
            "value_b": sum(cell_b[key].score for key in shared) / len(shared),
            "unpaired": len(cell_a) + len(cell_b) - 2 * len(shared),
        }
        scores = [[cell[key].score for key in shared] for cell in (cell_a, cell_b)]
        rows.append(comparison_row(head, *scores, higher_is_better=True, seed=seed))
        flips += [_flip(cell_a[key], cell_b[key]) for key in shared if cell_a[key].score != cell_b[key].score]
    if not rows:
        raise UserError(
            "the two results have no common items",
            where=f"{left.path} and {right.path}",
            advice="Evaluate both models on the same tasks with the same seed and limit.",
        )
    settled = [row | {"sentence": sentence_of(row)} for row in settle(rows)]
    return {
        "a": {"path": str(left.path), "model": left.model},
        "b": {"path": str(right.path), "model": right.model},
        "rows": settled,
        "flips": flips,
        "notes": notes,
        "level": LEVEL,
        "correction": f"Holm over {len(settled)} comparisons",
        "sentence": _summary(settled),
    }


def sentence_of(row: Mapping[str, Any]) -> str:
    """One comparison in one sentence: how much, of how many, and whether it is noise."""
    points = f"{100 * row['difference']:+.1f} points"
    bounds = f"95 % interval {100 * row['low']:+.1f} to {100 * row['high']:+.1f}"
    evidence = f"{row['n']} items, {bounds}, p = {_written(row['p_holm'])}"
    if row["verdict"] != "no difference shown":
        return f"{row['task']}: {points}, {row['verdict']} beyond chance ({evidence})."
    if row["difference"] == 0 and row["gained"] == 0:
        return f"{row['task']}: no item came out differently ({row['n']} items)."
    hint = _hint(row)
    return f"{row['task']}: your {points} is noise at this size ({evidence}){hint}."


def _hint(row: Mapping[str, Any]) -> str:
    if row["detectable"] is None:
        return ""
    if row["detectable"] >= 1:
        return "; so few items cannot show any difference"
    return f"; from about {100 * row['detectable']:.1f} points on it would usually show"


def _summary(rows: Sequence[Row]) -> str:
    if len(rows) == 1:
        return str(rows[0]["sentence"])
    named = {verdict: [r["task"] for r in rows if r["verdict"] == verdict] for verdict in ("better", "worse")}
    parts = [f"{verdict} on {', '.join(tasks)}" for verdict, tasks in named.items() if tasks]
    quiet = len(rows) - sum(map(len, named.values()))
    if not parts:
        largest = max(rows, key=lambda row: abs(row["difference"]))
        points = f"{100 * largest['difference']:+.1f} points"
        return f"No difference shown on {len(rows)} comparisons: the largest, {points} on {largest['task']}, is noise."
    rest = f"; no difference shown on {quiet} of {len(rows)}" if quiet else ""
    return f"The second is {' and '.join(parts)}{rest}."


def _written(p_value: float) -> str:
    return f"{p_value:.2g}" if p_value >= 1e-4 else "less than 0.0001"


def _side(path: Path, wanted: str | None, flag: str) -> _Side:
    samples = read_samples(path)
    models = list(dict.fromkeys(sample.model for sample in samples))
    if wanted is not None and wanted not in models:
        raise unknown_name("model", wanted, models, where=path)
    if wanted is None and len(models) > 1:
        raise UserError(
            "several models in one result", where=path, got=", ".join(models), advice=f"Choose one with {flag}."
        )
    model = wanted or models[0]
    cells: dict[tuple[str, str], dict[Key, Sample]] = {}
    for sample in samples:
        if sample.model == model:
            cells.setdefault((sample.task, sample.solver), {})[sample.id, sample.hash] = sample
    return _Side(path, model, cells)


def _match(key_a: tuple[str, str], key_b: tuple[str, str], left: _Side, right: _Side) -> bool:
    """Same task, and the same solver or both sides' only one."""
    if key_a[0] != key_b[0]:
        return False
    alone = all(sum(task == key_a[0] for task, _ in side.cells) == 1 for side in (left, right))
    return key_a[1] == key_b[1] or alone


def _flip(a: Sample, b: Sample) -> dict[str, Any]:
    return {
        "task": a.task,
        "id": a.id,
        "prompt": a.prompt,
        "target": a.target,
        "output_a": a.output,
        "output_b": b.output,
        "score_a": a.score,
        "score_b": b.score,
    }
