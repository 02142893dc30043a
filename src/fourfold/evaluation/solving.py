"""Answers to all items of a task: by generation with a named solver, or by log-likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation.task import Item, Task
from fourfold.inference import ChatModel, Sampling, ScoringModel
from fourfold.utilization import (
    Solver,
    calculator,
    chain,
    chain_of_thought,
    conversations_of,
    few_shot,
    few_shot_chain_of_thought,
    self_consistency,
    use_tools,
    zero_shot,
)

TOOL_SUFFIX = "+calculator"
LOG_LIKELIHOOD = "log_likelihood"
REASONING_TOKENS = 160
"""Room for a chain of thought; a plain answer has what its task allows."""

Factory = Callable[[ChatModel, Task, Sampling, bool], Solver]


class Answered(NamedTuple):
    """One item's answer: what is written down, and its scores by metric."""

    output: str
    scores: dict[str, float]
    meta: dict[str, Any]


@runtime_checkable
class Capable(Protocol):
    """A model that says what it can do."""

    @property
    def capabilities(self) -> frozenset[str]: ...


def _few_shot(model: ChatModel, task: Task, sampling: Sampling, tool: bool) -> Solver:
    return few_shot(model, task.tool_demonstrations if tool else task.demonstrations, sampling)


def _chain_of_thought(model: ChatModel, task: Task, sampling: Sampling, tool: bool) -> Solver:
    return chain_of_thought(model, replace(sampling, max_tokens=REASONING_TOKENS))


def _few_shot_chain_of_thought(model: ChatModel, task: Task, sampling: Sampling, tool: bool) -> Solver:
    return few_shot_chain_of_thought(model, task.demonstrations, replace(sampling, max_tokens=REASONING_TOKENS))


def _self_consistency(model: ChatModel, task: Task, sampling: Sampling, tool: bool) -> Solver:
    seed = sampling.seed or 0

    def path(i: int) -> Solver:
        warm = replace(sampling, temperature=0.7, seed=seed + i, max_tokens=REASONING_TOKENS)
        return chain_of_thought(model, warm, extraction="")

    return self_consistency(path, 5)


SOLVERS: dict[str, Factory] = {
    "zero_shot": lambda model, task, sampling, tool: zero_shot(model, sampling),
    "few_shot": _few_shot,
    "chain_of_thought": _chain_of_thought,
    "few_shot_chain_of_thought": _few_shot_chain_of_thought,
    "self_consistency": _self_consistency,
}


def solver_names() -> list[str]:
    """The names `evaluate` takes."""
    return [*SOLVERS, *(name + TOOL_SUFFIX for name in SOLVERS)]


def suitable_solvers(task: Task, wanted: Sequence[str]) -> list[str]:
    """Those of the wanted solvers that make sense for the task; zero-shot when none does."""
    for name in wanted:
        if name not in solver_names():
            raise unknown_name("solver", name, solver_names())
    if task.method == LOG_LIKELIHOOD:
        return [LOG_LIKELIHOOD]
    fitting = [
        name
        for name in dict.fromkeys(wanted)
        if name.removesuffix(TOOL_SUFFIX) in task.solvers and (task.tools or not name.endswith(TOOL_SUFFIX))
    ]
    return fitting or ["zero_shot"]


def make_solver(name: str, model: ChatModel, task: Task, seed: int = 0) -> Solver:
    """The solver of that name for a task; "+calculator" carries out the calls in its answers."""
    base, tool = name.removesuffix(TOOL_SUFFIX), name.endswith(TOOL_SUFFIX)
    if base not in SOLVERS:
        raise unknown_name("solver", name, solver_names())
    solver = SOLVERS[base](model, task, Sampling(temperature=0, max_tokens=task.max_tokens, seed=seed), tool)
    return chain([solver, use_tools([calculator()])]) if tool else solver


def answer_items(
    model: object, label: str, task: Task, solver: str, items: Sequence[Item], seed: int
) -> list[Answered]:
    """Answer and score all items, as one batch."""
    if task.method == LOG_LIKELIHOOD:
        return _by_likelihood(_scoring(model, label, task), items)
    solved = make_solver(solver, _chatting(model, label, task), task, seed)(conversations_of(i.prompt for i in items))
    score = task.score
    if score is None:
        raise ValueError(f"task '{task.name}' is answered by generation and has no scorer")
    return [Answered(c.output, score(i, c), dict(c.meta)) for i, c in zip(items, solved, strict=True)]


def _by_likelihood(model: ScoringModel, items: Sequence[Item]) -> list[Answered]:
    pairs = [(item.prompt, choice) for item in items for choice in item.choices]
    found = iter(model.log_likelihood(pairs))
    answered = []
    for item in items:
        raw = [next(found).log_prob for _ in item.choices]
        per_byte = [value / len(choice.encode()) for value, choice in zip(raw, item.choices, strict=True)]
        chosen, chosen_raw = per_byte.index(max(per_byte)), raw.index(max(raw))
        scores = {"accuracy": float(chosen == item.answer), "accuracy_raw": float(chosen_raw == item.answer)}
        answered.append(Answered(item.choices[chosen], scores, {"log_likelihoods": raw, "per_byte": per_byte}))
    return answered


def _scoring(model: object, label: str, task: Task) -> ScoringModel:
    able = not isinstance(model, Capable) or LOG_LIKELIHOOD in model.capabilities
    if isinstance(model, ScoringModel) and able:
        return model
    raise UserError(
        f"'{label}' gives no log-probabilities of a text, which task '{task.name}' needs",
        advice="Use tasks answered by generation (arithmetic, general, format), or load the model from its files.",
    )


def _chatting(model: object, label: str, task: Task) -> ChatModel:
    able = not isinstance(model, Capable) or "chat" in model.capabilities
    if isinstance(model, ChatModel) and able:
        return model
    raise UserError(
        f"'{label}' cannot chat, which task '{task.name}' needs",
        advice="Use a task scored by log-likelihood (continuation, or a file with choices), or a model tuned for chat.",
    )
