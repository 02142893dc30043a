"""Tasks by name."""

from __future__ import annotations

from collections.abc import Callable

from fourfold.errors import UserError, unknown_name
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
    """The names `make_task` takes, beside file:PATH."""
    return sorted([*_MAKERS, "continuation"])


def make_task(name: str, *, held_out: str | None = None) -> Task:
    """The task of that name; "continuation" is made from the `held_out` text."""
    if name.startswith(FILE_PREFIX):
        return file_task(name.removeprefix(FILE_PREFIX))
    if name == "continuation":
        if held_out is None:
            raise UserError(
                "task 'continuation' needs a held-out text",
                advice="Evaluate inside a recipe with a corpus, or give a text file with --text.",
            )
        return continuation_task(held_out)
    if name not in _MAKERS:
        raise unknown_name("task", name, [*task_names(), "file:PATH.jsonl"])
    return _MAKERS[name]()
