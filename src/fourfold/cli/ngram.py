"""`fourfold ngram`: word n-gram models, as KenLM trains them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fourfold.cli.console import finish, show, show_json
from fourfold.cli.options import PRETRAIN, Json, Output, load_model
from fourfold.errors import UserError

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Train and inspect word n-gram models.")
commands.add_typer(group, name="ngram", rich_help_panel=PRETRAIN)


@group.command(epilog="Example: fourfold ngram train speeches.txt -o fivegram --order 5")
def train(
    texts: Annotated[list[Path], typer.Argument(metavar="TEXT...", help="Text files, one sentence a line.")],
    output: Output,
    order: Annotated[int, typer.Option(min=1, help="Longest n-gram.")] = 5,
    smoothing: Annotated[
        str, typer.Option(help="modified-kneser-ney, kneser-ney, witten-bell, …")
    ] = "modified-kneser-ney",
) -> None:
    """Count words between <s> and </s> and smooth; `-o NAME.arpa` writes an ARPA file, else a folder."""
    from fourfold.inference import LanguageModel
    from fourfold.models.ngram import train_word_ngram, write_arpa

    module, tokenizer = train_word_ngram(texts, order, smoothing)
    if output.suffix == ".arpa":
        write_arpa(module, output, tokenizer.words)
    else:
        LanguageModel(module, tokenizer, name=output.name, text_end_id=tokenizer.eos_id).save(output)
    show(f"{order}-gram over {tokenizer.vocabulary_size:,} words")
    finish(where=output, next_command=["score", output, "FILE", "--lines"])


@group.command(epilog="Example: fourfold ngram info fivegram")
def info(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An n-gram folder or an .arpa file.")],
    as_json: Json = False,
) -> None:
    """Order, vocabulary, smoothing and the number of n-grams of each order."""
    from fourfold.models.ngram import NGramLM

    lm = load_model(model)
    module = getattr(lm, "module", None)
    if not isinstance(module, NGramLM):
        raise UserError("this is no n-gram model", where=model, advice=f"Try: fourfold inspect {model}")
    facts = {
        "order": module.order,
        "vocabulary_size": module.vocabulary_size,
        "smoothing": module.config.smoothing,
        "ngrams": list(module.config.ngrams),
    }
    if as_json:
        show_json(facts)
    else:
        for key, value in facts.items():
            show(f"{key:16} {value}")
    finish(next_command=["generate", model, "the"], result_on_stdout=False)
