"""`evaluate`: models × tasks × solvers, resumable, with intervals and paired comparisons."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation.cells import FORMAT, Cell, answers_path, forget_parts, kept_in_parts, kept_or_made
from fourfold.evaluation.registry import make_task
from fourfold.evaluation.rows import LEVEL, Cellmark, Row, comparison_row, metric_rows, settle, subject_rows
from fourfold.evaluation.solving import answer_items, suitable_solvers
from fourfold.evaluation.task import Answered, Item, Task
from fourfold.files import hash_value, write_json, write_jsonl
from fourfold.inference import ChatModel, Endpoint, LanguageModel, ScoringModel, say_if_hard_to_read
from fourfold.progress import task as progress_task

Pair = tuple[str, str]
KEPT_TOGETHER, MOST_KEPT = 64, 128
"""Items answered between two writes: at least, where the subject changes, and at most."""


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One task with its items and the solvers it is run under."""

    task: Task
    items: list[Item]
    solvers: list[str]
    data_hash: str


class _Counter:
    """Counts on the way to a progress bar."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self.advance, self.count = advance, 0

    def __call__(self, amount: int) -> None:
        self.count += amount
        self.advance(amount)


def evaluate(
    models: Mapping[str, ChatModel | ScoringModel],
    tasks: Sequence[str | Task],
    *,
    folder: Path,
    solvers: Sequence[str] = ("zero_shot",),
    seed: int = 0,
    limit: int | None = None,
    pairs: Sequence[Pair] | None = None,
    labels: Mapping[str, str] | None = None,
    hashes: Mapping[str, str] | None = None,
    held_out: str | None = None,
) -> dict[str, Any]:
    """Evaluate and write `results.json` and `samples.jsonl` into `folder`; returns the results.

    Items are kept as they are answered, and kept ones are not done again;
    `hashes` (model name to a hash of its weights) tells a retrained model from the old one.
    A mapping that loads its models on access is asked for one model at a time, and only
    where something is left to do. `pairs` are (a, b) names for "is b better than a?"; without
    them every model is compared with every one before it. `rows` hold each task's first metric,
    `details` the others.
    """
    labels, hashes = labels or {}, hashes or {}
    plans = [_plan(task, solvers, seed, limit, held_out) for task in tasks]
    for name, count in Counter(plan.task.name for plan in plans).items():
        if count > 1:
            raise UserError(f"two tasks of the name '{name}'", advice="Put them into two evaluations.")
    chosen_pairs = _checked_pairs(list(models), pairs)
    cells: dict[tuple[str, str, str], Cell] = {}
    total = len(models) * sum(len(plan.items) * len(plan.solvers) for plan in plans)
    with progress_task("evaluate", total, "items") as work:
        for name in models:
            label = labels.get(name, name)
            for plan, solver, key in _keys(name, hashes.get(name), plans, seed):
                note = f"{label}: {plan.task.name}, {solver}"
                work.advance(0, note)
                counter = _Counter(work.advance)
                cells[name, plan.task.name, solver] = _cell(models, name, label, plan, solver, key, folder, counter)
                work.advance(len(plan.items) - counter.count, note)
    results = _assembled(plans, cells, labels, chosen_pairs, seed)
    results["limit"] = limit
    results["models"] = [{"name": name, "label": labels.get(name, name), "hash": hashes.get(name)} for name in models]
    write_jsonl(folder / "samples.jsonl", (sample for cell in cells.values() for sample in cell["samples"]))
    write_json(folder / "results.json", results)
    return results


def _plan(task: str | Task, solvers: Sequence[str], seed: int, limit: int | None, held_out: str | None) -> _Plan:
    if limit is not None and limit < 1:
        raise UserError("the limit is out of range", expected="1 or more items", got=limit)
    made = make_task(task, held_out=held_out) if isinstance(task, str) else task
    items = made.items(seed, limit)
    return _Plan(
        task=made,
        items=items,
        solvers=suitable_solvers(made, solvers),
        data_hash=hash_value([[item.id, item.hash, dict(item.meta)] for item in items]),
    )


def _checked_pairs(names: Sequence[str], pairs: Sequence[Pair] | None) -> list[Pair]:
    if not names:
        raise UserError("no model to evaluate")
    if pairs is None:
        return list(itertools.combinations(names, 2))
    for name in (name for pair in pairs for name in pair):
        if name not in names:
            raise unknown_name("model in a pair", name, names)
    return list(pairs)


def _keys(
    model: str, model_hash: str | None, plans: Sequence[_Plan], seed: int
) -> Iterator[tuple[_Plan, str, dict[str, Any]]]:
    for plan in plans:
        for solver in plan.solvers:
            yield (
                plan,
                solver,
                {
                    "format": FORMAT,
                    "model": model,
                    "model_hash": model_hash,
                    "task": plan.task.name,
                    "version": plan.task.version,
                    "setting": dict(plan.task.setting),
                    "data_hash": plan.data_hash,
                    "solver": solver,
                    "max_tokens": plan.task.max_tokens,
                    "seed": seed,
                },
            )


def _cell(
    models: Mapping[str, ChatModel | ScoringModel],
    name: str,
    label: str,
    plan: _Plan,
    solver: str,
    key: Mapping[str, Any],
    folder: Path,
    done: Callable[[int], None],
) -> Cell:
    """The answers and scores of one (model, task, solver); `done` hears of items as they are finished."""
    primary = plan.task.metrics_of(solver)[0].name

    def make() -> Cell:
        model = models[name]
        if isinstance(model, Endpoint):
            model = model.keeping(answers_path(folder, key))
        say_if_hard_to_read(model, label, (item.prompt for item in plan.items), f"the task '{plan.task.name}'")

        def answer(numbers: Sequence[int]) -> list[Answered]:
            return answer_items(model, label, plan.task, solver, [plan.items[n] for n in numbers], int(key["seed"]))

        numbers = model.arithmetic if isinstance(model, LanguageModel) else None
        pieces = kept_in_parts(folder, key, _parts(plan.items), answer, done)
        answered = [Answered(*values) for values in pieces.values]
        samples = [
            {"model": name, "task": plan.task.name, "solver": solver, "id": item.id, "prompt": item.prompt}
            | {"output": answer.output, "target": item.target, "score": answer.scores[primary]}
            | {"scores": answer.scores, "hash": item.hash, "meta": answer.meta}
            | ({"choices": list(item.choices)} if item.choices else {})
            | ({"subject": item.subject} if item.subject else {})
            for item, answer in zip(plan.items, answered, strict=True)
        ]
        return {"seconds": pieces.seconds, "arithmetic": numbers, "samples": samples}

    cell = kept_or_made(folder, key, make)
    forget_parts(folder, key)
    return cell


def _parts(items: Sequence[Item]) -> Iterator[list[int]]:
    """Numbers of items to be answered and kept together: by subject, whose questions begin alike."""
    part: list[int] = []
    for number in sorted(range(len(items)), key=lambda n: items[n].subject):
        same = bool(part) and items[part[-1]].subject == items[number].subject
        if len(part) >= (MOST_KEPT if same else KEPT_TOGETHER):
            yield part
            part = []
        part.append(number)
    yield part


def _assembled(
    plans: Sequence[_Plan],
    cells: Mapping[tuple[str, str, str], Cell],
    labels: Mapping[str, str],
    pairs: Sequence[Pair],
    seed: int,
) -> dict[str, Any]:
    rows: list[Row] = []
    details: list[Row] = []
    comparisons: list[Row] = []
    for plan in plans:
        for solver in plan.solvers:
            primary = plan.task.metrics_of(solver)[0]
            here = {
                model: cell for (model, task, how), cell in cells.items() if (task, how) == (plan.task.name, solver)
            }
            for model, cell in here.items():
                mark = Cellmark(model, labels.get(model, model), solver, cell["seconds"], cell.get("arithmetic"))
                scores = [sample["scores"] for sample in cell["samples"]]
                first, *others = metric_rows(plan.task, mark, scores, seed)
                rows.append(first)
                details += others + subject_rows(first, plan.items, [score[primary.name] for score in scores], seed)
            for a, b in pairs:
                head = {"task": plan.task.name, "solver": solver, "metric": primary.name, "a": a, "b": b}
                two = [[sample["score"] for sample in here[model]["samples"]] for model in (a, b)]
                comparisons.append(comparison_row(head, *two, higher_is_better=primary.higher_is_better, seed=seed))
    return {
        "rows": rows,
        "details": details,
        "comparisons": settle(comparisons),
        "correction": f"Holm over {len(comparisons)} comparisons",
        "level": LEVEL,
        "seed": seed,
        "data": {plan.task.name: {"n": len(plan.items), "hash": plan.data_hash, **plan.task.setting} for plan in plans},
    }
