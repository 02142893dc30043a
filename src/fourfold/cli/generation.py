"""`fourfold generate` and `fourfold solve`: text from a prompt, an answer to a question."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli import wishes
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

if TYPE_CHECKING:
    from fourfold.inference import Sampling

commands = typer.Typer()
TOOLS = ("calculator",)


@commands.command(
    rich_help_panel=USE,
    epilog='Example: fourfold generate smollm2 "The state of the union is" --max-tokens 60 --seed 1. '
    'As JSON: fourfold generate smollm2 "A person:" --json-schema person.json. '
    'One of a few: fourfold generate smollm2 "Is snow white?" --choice yes --choice no. '
    'By search: fourfold generate smollm2 "Once" --beams 4. Faster where text repeats: --look-up.',
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
    typical_p: wishes.TypicalP = None,
    repetition_penalty: wishes.RepetitionPenalty = 1.0,
    presence_penalty: wishes.PresencePenalty = 0.0,
    frequency_penalty: wishes.FrequencyPenalty = 0.0,
    logit_bias: wishes.LogitBias = None,
    n: wishes.Answers = 1,
    alternatives: wishes.Alternatives = 0,
    json_schema: wishes.JsonSchema = None,
    regex: wishes.Regex = None,
    choice: wishes.Choice = None,
    grammar: wishes.Grammar = None,
    beams: wishes.Beams = None,
    length_penalty: wishes.LengthPenalty = 1.0,
    contrastive: wishes.ContrastiveAlpha = None,
    best_of: wishes.BestOfCount = None,
    look_up: wishes.LookUp = False,
    draft: wishes.Draft = None,
    guess: wishes.Guessed = 8,
) -> None:
    """Continue a text."""
    # budget: every option of a choice, a form and a search is a parameter, handed on by name
    text = read_input(prompt) if prompt == "-" else prompt
    wanted = replace(
        sampling(max_tokens, temperature, top_k, top_p, min_p, seed, stop),
        typical_p=typical_p,
        repetition_penalty=repetition_penalty,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
        logit_bias=wishes.biases(logit_bias),
        n=n,
        top_alternatives=alternatives,
        constraint=wishes.constraint(json_schema, regex, choice, grammar),
        strategy=wishes.strategy(
            beams=beams,
            length_penalty=length_penalty,
            contrastive=contrastive,
            best_of=best_of,
            look_up=look_up,
            draft=draft,
            guessed=guess,
        ),
    )
    _write(load_model(model, dtype), text, wanted, as_json)
    finish(next_command=["chat", model], result_on_stdout=False)


def _write(lm: Any, text: str, wanted: Sampling, as_json: bool) -> None:
    """The continuation as it comes; several answers, or one of a form, when they are whole."""
    if as_json:
        show_json(asdict(lm.generate([text], wanted)[0]))
    elif wanted.n > 1:
        first = lm.generate([text], wanted)[0]
        for answer in (first, *first.others):
            show(f"{text}{answer.text}\n")
    elif wanted.constraint is not None:
        show(lm.generate([text], wanted)[0].text)
    else:
        opening = text
        for piece in lm.stream(text, wanted):
            sys.stdout.write(opening + piece)
            sys.stdout.flush()
            opening = ""
        sys.stdout.write(opening)  # nothing was said; a prompt that is refused shows only why
        show()


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
