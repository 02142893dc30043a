"""What a task is: items, the ways to answer them, a way to score the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fourfold.files import hash_value
from fourfold.utilization import Conversation, Demonstration


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question."""

    id: str
    prompt: str
    """The question; for tasks without a wording of their own, word for word what the model reads."""
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

    @property
    def subject(self) -> str:
        """The part of a task with several fields of knowledge; "" where there are none."""
        return str(self.meta.get("subject", ""))


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that each item gets: 0 or 1, or a count."""

    name: str
    higher_is_better: bool = True
    chance: float | None = None
    """What guessing reaches; None where guessing reaches next to nothing."""
    method: str = "generation, rule-checked"
    """How the number comes about: every row of a result names it."""
    of_mean: Callable[[float], float] | None = None
    """A rising function of the mean over items that is shown instead of it: exp, for a perplexity."""


Scorer = Callable[[Item, Conversation], dict[str, float]]
"""Metric name to score, for every metric of the task."""


class Answered(NamedTuple):
    """One item's answer: what is written down, and its scores by metric."""

    output: str
    scores: dict[str, float]
    meta: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to put items to a model and to judge what comes back, other than by a solver's conversation."""

    metrics: tuple[Metric, ...]
    """The first is the one a row of results shows."""
    answer: Callable[[object, str, Sequence[Item]], list[Answered]]
    """(model, its label, items) to one answer an item; UserError for a model that cannot be asked so."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set, the ways and solvers that suit it and a scorer."""

    name: str
    items: Callable[[int, int | None], list[Item]]
    """(seed, limit) to items: the same arguments give the same items."""
    metrics: tuple[Metric, ...] = ()
    """Of answers by a solver; the first is the one a row of results shows."""
    ways: Mapping[str, Way] = field(default_factory=dict)
    """By name, one of WAYS; the first is the task's own."""
    score: Scorer | None = None
    """How a solver's answer is scored; tasks that have only ways need none."""
    solvers: tuple[str, ...] = ()
    """The solvers that make sense here, without "+calculator"; none and no way either: zero-shot."""
    tools: bool = False
    """Whether a calculator may help."""
    demonstrations: tuple[Demonstration, ...] = ()
    tool_demonstrations: tuple[Demonstration, ...] = ()
    """Shown instead when the answer may call a tool."""
    max_tokens: int = 64
    version: int = 1
    """Goes up when a rule of the task changes: older results are then not reused."""
    setting: Mapping[str, Any] = field(default_factory=dict)
    """What else decides the outcome, as JSON values: demonstrations, wording. Stated in the result."""

    def metrics_of(self, how: str) -> tuple[Metric, ...]:
        """The metrics under that way or solver."""
        return self.ways[how].metrics if how in self.ways else self.metrics


LOG_LIKELIHOOD, LETTERS = "log_likelihood", "letters"
LETTER_GENERATION, LETTER_CHAT = "letter_generation", "letter_chat"
COMPLETION, SAMPLED_COMPLETION, CHAT = "completion", "sampled_completion", "chat"
WAYS = (LOG_LIKELIHOOD, LETTERS, LETTER_GENERATION, LETTER_CHAT, COMPLETION, SAMPLED_COMPLETION, CHAT)
"""Ways of asking beside the solvers: each choice's log-likelihood, its letter's probability, the letter
generated after the text or in a chat; the text simply continued, once or in several attempts, or answered in a chat."""
