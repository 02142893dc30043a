"""Tasks by name."""

from __future__ import annotations

from collections.abc import Callable

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation.benchmarks import AT, BENCHMARKS, benchmark_task
from fourfold.evaluation.task import Task
from fourfold.evaluation.tasks import (
    arithmetic_task,
    continuation_task,
    file_task,
    format_task,
    general_task,
    preference_task,
)

FILE_PREFIX = "file:"

_MAKERS: dict[str, Callable[[], Task]] = {
    "arithmetic": arithmetic_task,
    "arithmetic_unseen": lambda: arithmetic_task("arithmetic_unseen", phrasings="unseen"),
    "arithmetic_zh": lambda: arithmetic_task("arithmetic_zh", language="zh"),
    "format": format_task,
    "general": general_task,
    "preference": preference_task,
}


def task_names() -> list[str]:
    """The names `make_task` takes, beside file:PATH; those of benchmarks also as NAME@PATH."""
    return sorted([*_MAKERS, *BENCHMARKS, "continuation"])


def is_benchmark(name: str) -> bool:
    """Whether this names a public benchmark, with its data's place or without."""
    return name.partition(AT)[0] in BENCHMARKS


def make_task(name: str, *, held_out: str | None = None, shots: int = 0, shots_from: str | None = None) -> Task:
    """The task of that name; "continuation" is made from the `held_out` text.

    A public benchmark, `NAME` or `NAME@PATH`, shows `shots` demonstrations before each question, of its own split for
    them or of `shots_from`.
    """
    if name.startswith(FILE_PREFIX):
        return file_task(name.removeprefix(FILE_PREFIX))
    if is_benchmark(name):
        return benchmark_task(name, shots=shots, shots_from=shots_from)
    if name == "continuation":
        if held_out is None:
            raise UserError(
                "task 'continuation' needs a held-out text",
                advice="Evaluate inside a recipe with a corpus, or give a text file with --text.",
            )
        return continuation_task(held_out)
    if name not in _MAKERS:
        raise unknown_name("task", name.partition(AT)[0], [*task_names(), "file:PATH.jsonl"])
    return _MAKERS[name]()
