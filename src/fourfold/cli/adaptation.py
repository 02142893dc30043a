"""`fourfold tune`: adapt a model to conversations or preferences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import finish
from fourfold.cli.options import ADAPT, Output, Seed
from fourfold.cli.recipes import budget, place, run_sections

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Adapt a model: instruction tuning (sft), preferences (dpo).")
commands.add_typer(group, name="tune", rich_help_panel=ADAPT)

BaseModel = Annotated[str, typer.Option("--model", help="The model to adapt: any model reference, e.g. smollm2.")]
Data = Annotated[list[str], typer.Option("--data", help="A JSONL file; may be given again.")]
Rank = Annotated[int, typer.Option(help="Rank of the low-rank deltas (LoRA).")]
Alpha = Annotated[float, typer.Option(help="Deltas are scaled by alpha / rank.")]
Steps = Annotated[int | None, typer.Option(help="Optimizer steps.")]
Seconds = Annotated[float | None, typer.Option(help="Seconds of training instead of --steps.")]
LearningRate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")]
BatchSize = Annotated[int, typer.Option(help="Conversations, or pairs, of a step.")]
Context = Annotated[int, typer.Option(help="Longest conversation in tokens.")]


@group.command(epilog="Example: fourfold tune sft --model smollm2 --data chats.jsonl -o out")
def sft(
    output: Output,
    data: Data,
    model: BaseModel = "smollm2",
    replay: Annotated[
        list[str] | None, typer.Option(help="JSONL of conversations mixed in against forgetting.")
    ] = None,
    rank: Rank = 8,
    alpha: Alpha = 16.0,
    steps: Steps = None,
    seconds: Seconds = None,
    lr: LearningRate = None,
    batch_size: BatchSize = 8,
    context: Context = 256,
    seed: Seed = 0,
) -> None:
    """Learn to answer as the assistant does in conversations (messages, Alpaca or ShareGPT layout)."""
    extra = {"replay": [place(file) for file in replay or []] or None}
    _tune("sft", output, model, data, _options(rank, alpha, steps, seconds, lr, batch_size, context) | extra, seed)


@group.command(epilog="Example: fourfold tune dpo --model smollm2 --data preferences.jsonl -o out --steps 30")
def dpo(
    output: Output,
    data: Data,
    model: BaseModel = "smollm2",
    beta: Annotated[float, typer.Option(help="How strongly to hold to the model as it was.")] = 0.1,
    rank: Rank = 8,
    alpha: Alpha = 16.0,
    steps: Steps = None,
    seconds: Seconds = None,
    lr: LearningRate = None,
    batch_size: BatchSize = 4,
    context: Context = 256,
    seed: Seed = 0,
) -> None:
    """Learn to prefer the chosen to the rejected answer (direct preference optimization)."""
    options = _options(rank, alpha, steps, seconds, lr, batch_size, context) | {"beta": beta}
    _tune("dpo", output, model, data, options, seed)


def _options(
    rank: int,
    alpha: float,
    steps: int | None,
    seconds: float | None,
    lr: float | None,
    batch_size: int,
    context: int,
) -> dict[str, Any]:
    return {
        "peft": {"rank": rank, "alpha": alpha},
        "budget": budget(steps, None, seconds),
        "optimizer": {"lr": lr, "weight_decay": 0.0, "schedule": "linear", "final": 0.0} if lr else None,
        "batch_size": batch_size,
        "context": context,
    }


def _tune(method: str, output: Path, model: str, data: list[str], options: dict[str, Any], seed: int) -> None:
    section = {"method": method, "model": place(model), "data": [place(file) for file in data], **options}
    run_sections(output, {f"tune.{method}": section}, seed)
    adapter = output / f"tune.{method}" / "adapter"
    finish(where=adapter, next_command=["chat", adapter])
