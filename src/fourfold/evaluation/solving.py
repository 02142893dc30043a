"""Answers to all items of a task: by a way of the task, or by a conversation with a named solver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fourfold.errors import UserError, unknown_name
from fourfold.evaluation.choices import is_able
from fourfold.evaluation.task import WAYS, Answered, Item, Task
from fourfold.inference import ChatModel, Sampling
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
REASONING_TOKENS = 160
"""Room for a chain of thought; a plain answer has what its task allows."""

Factory = Callable[[ChatModel, Task, Sampling, bool], Solver]


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


def method_names() -> list[str]:
    """Every way of asking: the ways of tasks and the solvers."""
    return [*WAYS, *solver_names()]


def suitable_solvers(task: Task, wanted: Sequence[str]) -> list[str]:
    """Those of the wanted ways and solvers that make sense for the task; when none does, its own way or zero-shot."""
    for name in wanted:
        if name not in method_names():
            raise unknown_name("way of asking", name, method_names())
    fitting = [name for name in dict.fromkeys(wanted) if name in task.ways or _suits(task, name)]
    return fitting or [next(iter(task.ways), "zero_shot")]


def _suits(task: Task, solver: str) -> bool:
    return solver.removesuffix(TOOL_SUFFIX) in task.solvers and (task.tools or not solver.endswith(TOOL_SUFFIX))


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
    if solver in task.ways:
        return task.ways[solver].answer(model, label, items)
    solved = make_solver(solver, _chatting(model, label, task), task, seed)(conversations_of(i.prompt for i in items))
    score = task.score
    if score is None:
        raise ValueError(f"task '{task.name}' is answered by a solver and has no scorer")
    return [Answered(c.output, score(i, c), dict(c.meta)) for i, c in zip(items, solved, strict=True)]


def ask(
    model: object, task: Task, method: str | None = None, *, seed: int = 0, limit: int | None = None, label: str = ""
) -> list[Answered]:
    """Put a task to a model in one way (None: the task's own) and return the scored answers, in order of the items.

    The short form of `evaluate`: nothing is written, compared or kept.
    """
    (way,) = suitable_solvers(task, [] if method is None else [method])
    if method is not None and way != method:
        fitting = [*task.ways, *task.solvers]
        raise UserError(f"task '{task.name}' cannot be asked by '{method}'", expected=" or ".join(fitting))
    return answer_items(model, label or "the model", task, way, task.items(seed, limit), seed)


def _chatting(model: object, label: str, task: Task) -> ChatModel:
    if isinstance(model, ChatModel) and is_able(model, "chat"):
        return model
    raise UserError(
        f"'{label}' cannot chat, which task '{task.name}' needs",
        advice="Use a task scored by log-likelihood (continuation, or a file with choices), or a model tuned for chat.",
    )
