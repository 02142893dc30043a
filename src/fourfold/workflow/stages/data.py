"""`[data.name]`: conversations or preferences made by a program, or from the model's own answers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fourfold.errors import UserError
from fourfold.files import write_json, write_jsonl
from fourfold.progress import say
from fourfold.workflow.kinds import Options, StageKind, Use, need

if TYPE_CHECKING:
    from fourfold.inference import ChatModel, Sampling
    from fourfold.workflow.context import StageContext


class DataOptions(Options):
    """What is made, and how much of it."""

    kind: Literal["calculator", "replay", "preference"]
    """`calculator`: questions answered by a tool call; `replay`: a model's own answers to general questions;
    `preference`: the model's answers against the same answers put right by a rule."""
    examples: int = Field(ge=1, le=1_000_000)
    """How many questions are made, or asked; a rule may keep fewer pairs."""
    language: Literal["en", "zh", "both"] = "en"
    """Language of the questions."""
    model: str | None = None
    """Who answers, for `replay` and `preference`."""
    rule: str = "short"
    """The wish that decides a `preference`."""
    max_tokens: int = Field(default=96, ge=1, le=4096)
    """Longest answer of the model."""


def uses(options: DataOptions) -> list[Use]:
    return [Use("model", options.model, ("tune",), outside=True)] if options.model else []


def check(options: DataOptions) -> None:
    from fourfold.adaptation.alignment import preference_rule

    if options.kind != "calculator":
        need(options.model, "model", f"kind '{options.kind}'")
    preference_rule(options.rule)


def run(context: StageContext, options: DataOptions) -> None:
    card: dict[str, Any] = {"kind": options.kind, "asked": options.examples, "language": options.language}
    if options.kind == "calculator":
        card |= make_calls(context, options)
    else:
        card |= {"model": options.model} | make_answers(context, options)
    write_json(context.folder / "card.json", card)
    say(f"{context.name}: {card['examples']} examples")


def make_calls(context: StageContext, options: DataOptions) -> dict[str, Any]:
    from fourfold.adaptation.instruction import calculator_conversations, write_conversations

    conversations = calculator_conversations(options.examples, context.seed, language=options.language)
    count = write_conversations(context.folder / "conversations.jsonl", conversations)
    return {"examples": count, "sample": conversations[0]}


def make_answers(context: StageContext, options: DataOptions) -> dict[str, Any]:
    """Ask the model, and keep its answers as replay or as preferences."""
    from fourfold.adaptation.instruction import replay_conversations, write_conversations
    from fourfold.inference import Sampling

    assert options.model is not None  # checked with the recipe
    model = context.models.get(options.model)
    prompts = draw_prompts(options, context.seed)
    sampling = Sampling(max_tokens=options.max_tokens, temperature=0.0)
    if options.kind == "preference":
        return make_preferences(context, model, prompts, options.rule, sampling)
    conversations = replay_conversations(model, prompts, sampling)
    if not conversations:
        raise UserError("no answer of the model is a whole sentence", where=context.name, advice="Raise max_tokens.")
    count = write_conversations(context.folder / "conversations.jsonl", conversations)
    return {"examples": count, "prompts": len(prompts), "sample": conversations[0]}


def make_preferences(
    context: StageContext, model: ChatModel, prompts: list[str], rule_name: str, sampling: Sampling
) -> dict[str, Any]:
    from fourfold.adaptation.alignment import preference_pairs, preference_rule

    rule = preference_rule(rule_name)
    pairs = preference_pairs(model, prompts, rule, sampling)
    count = write_jsonl(context.folder / "preferences.jsonl", pairs)
    return {"examples": count, "prompts": len(prompts), "rule": rule.name, "wish": rule.wish, "sample": pairs[0]}


def draw_prompts(options: DataOptions, seed: int) -> list[str]:
    """So many of our general prompts, drawn by the seed; all of them when more are asked for."""
    from fourfold.adaptation.instruction import general_prompts

    prompts = general_prompts(options.language)
    if options.examples > len(prompts):
        say(f"there are {len(prompts)} general prompts, fewer than the {options.examples} asked for")
    return random.Random(f"{seed}/{options.kind}").sample(prompts, min(options.examples, len(prompts)))


KIND = StageKind(
    name="data",
    options=DataOptions,
    uses=uses,
    run=run,
    check=check,
    code=("adaptation", "inference", "models", "tokenizers"),
)
