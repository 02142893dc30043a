"""`compare`: is the second result better than the first, or is it noise? Two results, item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation.comparing.contamination import Overlap, overlaps
from fourfold.evaluation.comparing.fairness import unlike
from fourfold.evaluation.comparing.metrics import choose_metric
from fourfold.evaluation.comparing.pairing import Pairing, pair_items
from fourfold.evaluation.comparing.reading import read_results
from fourfold.evaluation.comparing.samples import Results, Sample
from fourfold.evaluation.comparing.sentences import sentence_of, summary
from fourfold.evaluation.rows import LEVEL, Row, comparison_row, settle
from fourfold.measures import bootstrap_interval

Pairs = Sequence[tuple[Sample, Sample]]


class Side(NamedTuple):
    """One model's samples by task and way of asking."""

    path: Path
    model: str
    cells: dict[tuple[str, str], list[Sample]]
    results: Results


class Match(NamedTuple):
    """A task as both sides have it."""

    key_a: tuple[str, str]
    key_b: tuple[str, str]
    pairing: Pairing
    metric_a: str
    metric_b: str

    @property
    def pairs(self) -> Pairs:
        """The pairs in which both sides have the metric."""
        return [(a, b) for a, b in self.pairing.pairs if self.metric_a in a.scores and self.metric_b in b.scores]


def compare(
    a: str | Path,
    b: str | Path,
    *,
    model_a: str | None = None,
    model_b: str | None = None,
    metric: str | None = None,
    pool: Sequence[str] = (),
    train: Sequence[str | Path] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two results (folders or sample files of `evaluate` or lm-eval, plain JSONL) over the items they share.

    Items are paired by content. Each task gets a paired difference b - a with interval and exact test, the items
    gained and lost, and the smallest difference that could have been seen; verdicts are corrected over the tasks
    (Holm).
    Parts of a group (MMLU's subjects, as lm-eval's results file lists them, or tasks beginning with a name of `pool`
    and "_") are one comparison, stratified by part. `metric` is a name, or NAME_A=NAME_B where the sides differ.
    Items whose text stands in the files of `train` are flagged, and every comparison is made again without them.
    `model_a` and `model_b` choose among several models of a file.
    """
    left, right = _side(Path(a), model_a, "--model-a", pool), _side(Path(b), model_b, "--model-b", pool)
    matches = _matches(left, right, metric)
    if not matches:
        raise UserError(
            f"the two results have no common items: {_holds(left)}; {_holds(right)}",
            advice="Evaluate both models on the same tasks with the same seed and limit.",
        )
    found = overlaps([a for match in matches for a, _ in match.pairs], [Path(file) for file in train])
    rows = settle([_row(match, left, right, seed) for match in matches])
    for row, clean in zip(rows, _clean_rows(matches, found, left, right, seed), strict=True):
        row["clean"] = clean
    settled = [row | {"sentence": sentence_of(row)} for row in rows]
    return {
        "a": {"path": str(left.path), "model": left.model},
        "b": {"path": str(right.path), "model": right.model},
        "rows": settled,
        "flips": [flip for match in matches for flip in _flips(match, found)],
        "warnings": [text for match in matches for text in unlike(match.key_a[0], *_settings(match, left, right))],
        "notes": _notes(left, right, matches),
        "train": [str(file) for file in train],
        "flagged": [_flagged(sample, overlap) for sample, overlap in found.items()],
        "level": LEVEL,
        "correction": f"Holm over {len(settled)} comparisons",
        "sentence": summary(settled),
    }


def _side(path: Path, wanted: str | None, flag: str, pool: Sequence[str]) -> Side:
    results = read_results(path)
    models = list(dict.fromkeys(sample.model for sample in results.samples))
    if wanted is not None and wanted not in models:
        raise unknown_name("model", wanted, models, where=path)
    if wanted is None and len(models) > 1:
        raise UserError(
            "several models in one result", where=path, got=", ".join(models), advice=f"Choose one with {flag}."
        )
    model = wanted or models[0]
    whole = {part: name for name, parts in results.groups.items() for part in parts if len(parts) > 1}
    cells: dict[tuple[str, str], list[Sample]] = {}
    for sample in results.samples:
        if sample.model == model:
            pooled = next((name for name in pool if sample.task.startswith(f"{name}_")), None)
            cells.setdefault((pooled or whole.get(sample.task, sample.task), sample.solver), []).append(sample)
    return Side(path, model, cells, results)


def _matches(left: Side, right: Side, metric: str | None) -> list[Match]:
    """Cells of one name, then what is left over by its items: two harnesses may call one task by two names."""
    matches = []
    named = [(ka, kb) for ka in left.cells for kb in right.cells if _same_name(ka, kb, left, right)]
    rest_a = [key for key in left.cells if key not in {a for a, _ in named}]
    rest_b = [key for key in right.cells if key not in {b for _, b in named}]
    for key_a, key_b in [*named, *((ka, kb) for ka in rest_a for kb in rest_b)]:
        pairing = pair_items(left.cells[key_a], right.cells[key_b])
        by_name = (key_a, key_b) in named
        if pairing.pairs and (by_name or pairing.by != "id"):
            first, second = zip(*pairing.pairs, strict=True)
            names = choose_metric(metric, first, second, where=key_a[0])
            matches.append(Match(key_a, key_b, pairing, *names))
    return matches


def _same_name(key_a: tuple[str, str], key_b: tuple[str, str], left: Side, right: Side) -> bool:
    """Same task, and the same solver or both sides' only one."""
    if key_a[0] != key_b[0]:
        return False
    alone = all(sum(task == key_a[0] for task, _ in side.cells) == 1 for side in (left, right))
    return key_a[1] == key_b[1] or alone


def _row(match: Match, left: Side, right: Side, seed: int, pairs: Pairs | None = None) -> Row:
    pairs = match.pairs if pairs is None else pairs
    first, second = [a.scores[match.metric_a] for a, _ in pairs], [b.scores[match.metric_b] for _, b in pairs]
    parts = _parts([part_of(a, match) for a, _ in pairs], first, second)
    head = {
        "task": match.key_a[0],
        "task_b": match.key_b[0],
        "solver": match.key_a[1],
        "solver_b": match.key_b[1],
        "metric": match.metric_a,
        "metric_b": match.metric_b,
        "value_a": sum(first) / len(pairs),
        "value_b": sum(second) / len(pairs),
        "in_points": all(0 <= score <= 1 for score in (*first, *second)),
        "paired_by": match.pairing.by,
        "unpaired": match.pairing.unpaired,
        "repeated": match.pairing.repeated,
        "parts": parts,
    }
    lower = match.metric_a in left.results.lower_is_better or match.metric_b in right.results.lower_is_better
    strata = [part_of(a, match) for a, _ in pairs] if parts else None
    row = comparison_row(head, first, second, higher_is_better=not lower, seed=seed, strata=strata)
    resampled = bootstrap_interval([y - x for x, y in zip(first, second, strict=True)], LEVEL, seed=seed)
    return row | {"bootstrap_low": resampled.low, "bootstrap_high": resampled.high}


def part_of(sample: Sample, match: Match) -> str:
    """The subject of an item: its own, or its task where several make up the whole."""
    return sample.subject or (sample.task if sample.task != match.key_a[0] else "")


def _parts(parts: Sequence[str], first: Sequence[float], second: Sequence[float]) -> list[Row]:
    """What each part of a group contributes; no verdicts, as they were not asked one by one."""
    moved: dict[str, list[float]] = {}
    for part, before, after in zip(parts, first, second, strict=True):
        moved.setdefault(part, []).append(after - before)
    if len(moved) < 2:
        return []
    return [{"part": part, "n": len(values), "difference": sum(values) / len(values)} for part, values in moved.items()]


def _clean_rows(
    matches: Sequence[Match], found: Mapping[Sample, Overlap], left: Side, right: Side, seed: int
) -> list[Row | None]:
    """The comparisons once more without flagged items; None where none was flagged or nothing is left."""
    kept = [[pair for pair in match.pairs if pair[0] not in found] for match in matches]
    again = [
        _row(match, left, right, seed, pairs) if 0 < len(pairs) < len(match.pairs) else None
        for match, pairs in zip(matches, kept, strict=True)
    ]
    settled = iter(settle([row for row in again if row is not None]))
    return [None if row is None else next(settled) for row in again]


def _flips(match: Match, found: Mapping[Sample, Overlap]) -> Iterable[dict[str, Any]]:
    for a, b in match.pairs:
        before, after = a.scores[match.metric_a], b.scores[match.metric_b]
        if before != after:
            yield {
                "task": a.task,
                "id": a.id,
                "prompt": a.prompt or a.question,
                "question": a.question,
                "target": a.target,
                "output_a": a.output,
                "output_b": b.output,
                "score_a": before,
                "score_b": after,
                "in_training_data": a in found,
            }


def _flagged(sample: Sample, overlap: Overlap) -> dict[str, Any]:
    return {"task": sample.task, "id": sample.id, "question": sample.question} | overlap._asdict()


def _settings(match: Match, left: Side, right: Side) -> tuple[Sequence[Mapping[str, Any]], ...]:
    """The settings of all tasks that make up each side."""
    sides = ((left, match.key_a), (right, match.key_b))
    tasks = [list(dict.fromkeys(sample.task for sample in side.cells[key])) for side, key in sides]
    asked = ([{"method": key[1] or None}] for _, key in sides)
    return tuple(
        [*how, *(side.results.settings.get(task, {}) for task in names)]
        for how, (side, _), names in zip(asked, sides, tasks, strict=True)
    )


def _notes(left: Side, right: Side, matches: Sequence[Match]) -> list[str]:
    notes = []
    for match in matches:
        if match.pairing.unpaired:
            notes.append(f"{match.key_a[0]}: {match.pairing.unpaired} items stand in one result only and are left out")
        if match.pairing.repeated:
            notes.append(f"{match.key_a[0]}: {match.pairing.repeated} items repeat others and are counted as new ones")
    for side, used in ((left, {m.key_a for m in matches}), (right, {m.key_b for m in matches})):
        alone = sorted({task for task, how in side.cells if (task, how) not in used})
        if alone:
            notes.append(f"no common items, or none at all on the other side: {', '.join(alone)} of {side.path}")
    return notes


def _holds(side: Side) -> str:
    """What a result is about, with an example."""
    counts = Counter({task: len(samples) for (task, _), samples in side.cells.items()})
    tasks = ", ".join(f"{count} of {task}" for task, count in counts.most_common(3))
    more = f" and {len(counts) - 3} tasks more" if len(counts) > 3 else ""
    first = next(iter(side.cells.values()))[0]
    example = " ".join((first.question or f"id {first.id}").split())[:50]
    return f"{side.path} holds {tasks}{more} ({example!r}, …)"
