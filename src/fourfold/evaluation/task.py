"""What a task is: items, a way to answer them, a way to score the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fourfold.files import hash_value
from fourfold.utilization import Conversation, Demonstration

Method = Literal["generation", "log_likelihood"]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question. For log-likelihood tasks `prompt` is the context and the choices are its continuations."""

    id: str
    prompt: str
    target: str
    """The right answer in words, for the record and for scorers that compare text."""
    choices: tuple[str, ...] = ()
    answer: int | None = None
    """Which choice is right."""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Equal for equal content: what pairs items of two runs."""
        return hash_value([self.prompt, self.target, list(self.choices)])[:16]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that each item gets: 0 or 1, or a count."""

    name: str
    higher_is_better: bool = True
    chance: float | None = None
    """What guessing reaches; None where guessing reaches next to nothing."""


Scorer = Callable[[Item, Conversation], dict[str, float]]
"""Metric name to score, for every metric of the task."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set, the solvers that suit it and a scorer."""

    name: str
    items: Callable[[int, int | None], list[Item]]
    """(seed, limit) to items: the same arguments give the same items."""
    metrics: tuple[Metric, ...]
    """The first is the one a row of results shows."""
    method: Method = "generation"
    score: Scorer | None = None
    """How a generated answer is scored; log-likelihood tasks need none."""
    solvers: tuple[str, ...] = ("zero_shot",)
    """The solvers that make sense here, without "+calculator"."""
    tools: bool = False
    """Whether a calculator may help."""
    demonstrations: tuple[Demonstration, ...] = ()
    tool_demonstrations: tuple[Demonstration, ...] = ()
    """Shown instead when the answer may call a tool."""
    max_tokens: int = 64
    version: int = 1
    """Goes up when a rule of the task changes: older results are then not reused."""


LIKELIHOOD_METRICS = ("accuracy", "accuracy_raw")
"""Choice of highest log-likelihood per byte, and of highest log-likelihood as it stands."""


def likelihood_metrics(chance: float) -> tuple[Metric, ...]:
    """The metrics of a multiple-choice task."""
    return tuple(Metric(name=name, chance=chance) for name in LIKELIHOOD_METRICS)
