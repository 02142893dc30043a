"""What a finished evaluation left behind: samples, and the settings they were made under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import read_json, read_jsonl

CORRECT = "correct"
QUESTION_FIELDS = ("question", "prompt", "query", "input", "text", "content")
"""Where a plain line may hold its question; the first it has counts."""
_PLAIN = '{"id" or "question", "score" or "correct"}'


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One item as one model answered it; equal only to itself."""

    model: str
    task: str
    solver: str
    """How it was asked; "" where the file does not say."""
    id: str
    prompt: str
    """What the model read, as far as it was kept."""
    output: str
    target: str
    scores: Mapping[str, float]
    """By metric; the first is the one compared when none is named."""
    question: str = ""
    """The question alone; "" where only an id is known."""
    choices: tuple[str, ...] = ()
    subject: str = ""

    @property
    def score(self) -> float:
        return next(iter(self.scores.values()))


@dataclass(frozen=True, kw_only=True)
class Results:
    """All samples of one place."""

    path: Path
    samples: Sequence[Sample]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By task: what must be the same on both sides of a fair comparison, as far as it is written down."""
    lower_is_better: frozenset[str] = frozenset()
    """Metrics."""
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Tasks that are parts of one, such as MMLU's subjects, by the name of the whole."""


def read_own(file: Path) -> Results:
    """The samples.jsonl of `evaluate`, with the results.json beside it."""
    samples = [_own(value, f"{file}:{line}") for line, value in read_jsonl(file)]
    beside = file.with_name("results.json")
    found = read_json(beside) if beside.is_file() else {}
    return Results(path=file, samples=samples, settings=_own_settings(found), lower_is_better=_lower(found))


def is_own(value: Any) -> bool:
    return isinstance(value, dict) and {"model", "task", "id", "prompt", "score"} <= value.keys()


def _own(value: Any, where: str) -> Sample:
    if not isinstance(value, dict) or not isinstance(value.get("score"), int | float):
        raise UserError("not a sample", where=where, expected="an object with model, task, id, prompt, score")
    missing = [name for name in ("model", "task", "id", "prompt") if name not in value]
    if missing:
        raise UserError(f"a sample without {', '.join(missing)}", where=where)
    texts = {name: str(value.get(name, "")) for name in ("model", "task", "solver", "id", "prompt", "output", "target")}
    scores = value.get("scores") or {"score": value["score"]}
    return Sample(
        **texts,
        scores={name: float(score) for name, score in scores.items()},
        question=texts["prompt"],
        choices=tuple(value.get("choices", ())),
        subject=str(value.get("subject", "")),
    )


def _own_settings(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    run = {name: found[name] for name in ("limit", "seed") if name in found}
    known = ("split", "shots", "wording", "demonstrations", "max_tokens")
    data = found.get("data", {})
    return {task: run | {name: about[name] for name in known if name in about} for task, about in data.items()}


def _lower(found: Mapping[str, Any]) -> frozenset[str]:
    rows = [*found.get("rows", ()), *found.get("details", ())]
    return frozenset(row["metric"] for row in rows if not row.get("higher_is_better", True))


def read_plain(file: Path) -> Results:
    """Lines of anybody's: an id or a question, a score or whether it was correct; every other number is a metric."""
    return Results(path=file, samples=[_plain(value, file, line) for line, value in read_jsonl(file)])


def _plain(value: Any, file: Path, line: int) -> Sample:
    where = f"{file}:{line}"
    if not isinstance(value, dict):
        raise UserError("not a sample", where=where, expected=_PLAIN)
    question = next((value[name] for name in QUESTION_FIELDS if isinstance(value.get(name), str)), "")
    scores = {name: float(score) for name, score in value.items() if isinstance(score, int | float) and name != "id"}
    first = [name for name in ("score", CORRECT) if name in scores]
    if not first or not (question or "id" in value):
        raise UserError("not a sample", where=where, expected=_PLAIN, got=", ".join(value) or "an empty object")
    return Sample(
        model=str(value.get("model", file.stem)),
        task=str(value.get("task", "items")),
        solver=str(value.get("solver", "")),
        id=str(value.get("id", "")),
        prompt=question,
        output=str(value.get("output", "")),
        target=str(value.get("target", value.get("answer", ""))),
        scores={name: scores[name] for name in dict.fromkeys([*first, *scores])},
        question=question,
        choices=tuple(map(str, value["choices"])) if isinstance(value.get("choices"), list) else (),
        subject=str(value.get("subject", "")),
    )
