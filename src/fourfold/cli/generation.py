"""`fourfold generate` and `fourfold solve`: text from a prompt, an answer to a question."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from fourfold.cli.console import finish, show, show_json
from fourfold.cli.options import (
    USE,
    DataType,
    Json,
    MaxTokens,
    MinP,
    Model,
    SamplingSeed,
    Temperature,
    TopK,
    TopP,
    load_model,
    names,
    read_input,
    sampling,
)
from fourfold.errors import UserError, unknown_name

commands = typer.Typer()
TOOLS = ("calculator",)


@commands.command(
    rich_help_panel=USE,
    epilog='Example: fourfold generate smollm2 "The state of the union is" --max-tokens 60 --seed 1',
)
def generate(
    model: Model,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The opening, or - to read it from standard input.")],
    max_tokens: MaxTokens = 128,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: SamplingSeed = None,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this string; may be given again.")] = None,
    dtype: DataType = None,
    as_json: Json = False,
) -> None:
    """Continue a text."""
    text = read_input(prompt) if prompt == "-" else prompt
    choice = sampling(max_tokens, temperature, top_k, top_p, min_p, seed, stop)
    lm = load_model(model, dtype)
    if as_json:
        show_json(asdict(lm.generate([text], choice)[0]))
    else:
        opening = text
        for piece in lm.stream(text, choice):
            sys.stdout.write(opening + piece)
            sys.stdout.flush()
            opening = ""
        sys.stdout.write(opening)  # nothing was said; a prompt that is refused shows only why
        show()
    finish(next_command=["chat", model], result_on_stdout=False)


@commands.command(
    rich_help_panel=USE,
    epilog='Example: fourfold solve smollm2 "What is 12 times 31?" --solver chain_of_thought --tools calculator',
)
def solve(
    model: Model,
    question: Annotated[str, typer.Argument(metavar="QUESTION")],
    solver: Annotated[
        str, typer.Option(help="zero_shot, few_shot, chain_of_thought, few_shot_chain_of_thought or self_consistency.")
    ] = "zero_shot",
    tools: Annotated[str, typer.Option(help="Tools whose calls are carried out: calculator.")] = "",
    max_tokens: MaxTokens = 160,
    seed: SamplingSeed = None,
    as_json: Json = False,
) -> None:
    """Answer a question with a way of asking and, if wanted, tools."""
    from fourfold.utilization import calculator, chain, conversations_of, use_tools

    for tool in names(tools):
        if tool not in TOOLS:
            raise unknown_name("tool", tool, TOOLS)
    lm = load_model(model)
    steps = [_solver(solver, lm, max_tokens, seed or 0)]
    if names(tools):
        steps.append(use_tools([calculator()]))
    (solved,) = chain(steps)(conversations_of([question]))
    if as_json:
        show_json({"answer": solved.output, "solver": solver, "tools": names(tools), "meta": dict(solved.meta)})
    else:
        reasoning = solved.meta.get("reasoning")
        if reasoning:
            show(f"{reasoning}\n")
        show(solved.output)
    finish(next_command=["evaluate", model, "--tasks", "arithmetic"], result_on_stdout=False)


def _solver(name: str, model: Any, max_tokens: int, seed: int) -> Any:
    from fourfold.utilization import (
        chain_of_thought,
        few_shot,
        few_shot_chain_of_thought,
        self_consistency,
        zero_shot,
    )

    greedy = sampling(max_tokens, 0, seed=seed)
    makers = {
        "zero_shot": lambda: zero_shot(model, greedy),
        "few_shot": lambda: few_shot(model, _demonstrations(), greedy),
        "chain_of_thought": lambda: chain_of_thought(model, greedy),
        "few_shot_chain_of_thought": lambda: few_shot_chain_of_thought(model, _demonstrations(), greedy),
        "self_consistency": lambda: self_consistency(
            lambda path: chain_of_thought(model, sampling(max_tokens, 0.7, seed=seed + path)), 5
        ),
    }
    if name not in makers:
        raise unknown_name("solver", name, makers)
    return makers[name]()


def _demonstrations() -> Any:
    """The worked examples of the arithmetic task."""
    from fourfold.evaluation import make_task

    found = make_task("arithmetic").demonstrations
    if not found:
        raise UserError("the arithmetic task has no demonstrations")
    return found
