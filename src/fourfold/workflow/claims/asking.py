"""Experiments on pre-trained models: the same questions asked in several ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation import BENCHMARKS, Answered, Item, Task, benchmark_task
from fourfold.files import hash_value
from fourfold.inference import Endpoint
from fourfold.workflow.claims.cells import Cell, expand
from fourfold.workflow.claims.spec import Claim, Questions, Size
from fourfold.workflow.context import StageContext
from fourfold.workflow.fingerprint import code_fingerprint, source_fingerprint
from fourfold.workflow.store import ModelStore

ORDER_SEED = 0
"""Of the order in which seeds get their questions."""


class AskedModels:
    """An experiment on a model that is there already."""

    code: tuple[str, ...] = ("evaluation", "inference", "models", "tokenizers", "workflow.claims.asking")

    def __init__(self, claim: Claim, size: Size, model: str | None, data: Path | None) -> None:
        """`model` in place of the claim's own, `data` a file of the benchmark in place of the hub's."""
        assert claim.questions is not None
        self._questions = claim.questions
        self._reference = model or str(claim.model["reference"])
        self._task, self._source = _task(self._questions, data)
        self.cells: Sequence[Cell] = expand(claim, size)
        self._order = _order(self._task, self._questions, max(cell.seed for cell in self.cells))
        self._models = ModelStore({})

    def describe(self) -> dict[str, Any]:
        """The benchmark and the model, for results.json and the methods."""
        benchmark = BENCHMARKS[self._questions.task]
        return {
            "model": self._reference,
            "title": benchmark.title,
            "paper": benchmark.paper,
            "licence": benchmark.licence,
            "source": self._source,
            "questions": len(self._order),
            "sha256": hash_value([item.hash for item in self._order]),
        }

    def work(self, cell: Cell) -> float:
        return 1.0

    def keys(self) -> dict[str, str]:
        common = {
            "model": source_fingerprint(self._reference),
            "reference": self._reference,
            "questions": self._questions.model_dump(),
            "task": [self._task.version, dict(self._task.setting)["wording"]],
            "code": code_fingerprint(self.code),
        }
        return {
            cell.name: hash_value(
                {**common, "cell": cell.identity(), "items": [item.hash for item in self._share(cell.seed)]}
            )
            for cell in self.cells
        }

    def make(self, context: StageContext, cell: Cell) -> dict[str, Any]:
        """Ask one seed's questions in every way the claim compares."""
        model = self._models.get(self._reference)
        if isinstance(model, Endpoint):
            model = model.keeping(context.folder / "answers")
        asked = _Asked(model, self._reference, self._task, self._share(cell.seed))
        own = self._questions
        measured = [{"labels": dict(cell.labels), **asked.result(own.way, own.metric)}]
        for name, (axis, how) in cell.derived.items():
            labels = {**cell.labels, axis: name}
            measured.append({"labels": labels, **asked.result(how.way or own.way, how.metric or own.metric)})
        facts = {"making": "asked", "parameters": 0, "steps": 0, "flops": 0.0, "diverged": False}
        return {"measured": measured, "seed": cell.seed, **facts}

    def _share(self, seed: int) -> Sequence[Item]:
        first = (seed - 1) * self._questions.items
        return self._order[first : first + self._questions.items]


class _Asked:
    """One model and some questions; each way is asked once, whatever is read off it."""

    def __init__(self, model: object, label: str, task: Task, items: Sequence[Item]) -> None:
        self._model, self._label, self._task, self._items = model, label, task, items
        self._answers: dict[str, Sequence[Answered]] = {}

    def result(self, way: str, metric: str) -> Mapping[str, Any]:
        if way not in self._task.ways:
            raise unknown_name("way of asking", way, self._task.ways, where=self._task.name)
        if way not in self._answers:
            self._answers[way] = self._task.ways[way].answer(self._model, self._label, self._items)
        answers = self._answers[way]
        if metric not in answers[0].scores:
            raise unknown_name(f"metric of {way}", metric, answers[0].scores)
        return {"numbers": {"right": float(np.mean([one.scores[metric] for one in answers]))}, "curves": {}}


def _task(questions: Questions, data: Path | None) -> tuple[Task, str]:
    """The task, and where its questions are from, without the user's folders."""
    if questions.task not in BENCHMARKS:
        raise unknown_name("benchmark", questions.task, BENCHMARKS, where="questions")
    if data is not None:
        return benchmark_task(f"{questions.task}@{data}"), data.name
    try:
        task = benchmark_task(questions.task)
    except UserError as error:
        raise UserError(f"{error} Or name a file with --data FILE.") from None
    return task, str(task.setting["source"])


def _order(task: Task, questions: Questions, seeds: int) -> list[Item]:
    """The questions of all seeds, one share after another."""
    items = task.items(ORDER_SEED, None)
    needed = seeds * questions.items
    if len(items) < needed:
        raise UserError(f"too few questions for {seeds} seeds", where=task.name, expected=needed, got=len(items))
    order = np.random.default_rng(ORDER_SEED).permutation(len(items))[:needed]
    return [items[int(index)] for index in order]
