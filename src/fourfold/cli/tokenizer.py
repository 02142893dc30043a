"""`fourfold tokenizer`: learn a vocabulary, and see how it cuts a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fourfold.cli.console import finish, show, show_json
from fourfold.cli.options import PRETRAIN, Json, Output, load_tokenizer, read_input
from fourfold.errors import UserError

commands = typer.Typer()
SAMPLED = 200
"""Documents on which the bytes a token are counted."""
group = typer.Typer(no_args_is_help=True, help="Train a tokenizer, extend one, and encode text with it.")
commands.add_typer(group, name="tokenizer", rich_help_panel=PRETRAIN)


@group.command(epilog="Example: fourfold tokenizer train corpus -o tokenizer --vocabulary-size 8192")
def train(
    source: Annotated[
        Path, typer.Argument(metavar="CORPUS|FILE", help="A corpus folder (its train split is read) or a text file.")
    ],
    output: Output,
    vocabulary_size: Annotated[int, typer.Option(help="Tokens, bytes and special tokens included.")] = 8192,
) -> None:
    """Learn a byte-level BPE and save it as tokenizer.json."""
    from fourfold.tokenizers import train_byte_bpe

    tokenizer = train_byte_bpe(_texts(source), vocabulary_size)
    tokenizer.save(output)
    show(f"{tokenizer.vocabulary_size:,} tokens")
    finish(where=output / "tokenizer.json", next_command=["tokenizer", "encode", output, "Some text"])


@group.command(epilog="Example: fourfold tokenizer extend smollm2 corpus --tokens 500 -o tokenizer")
def extend(
    tokenizer: Annotated[str, typer.Argument(metavar="TOKENIZER", help="A tokenizer folder or a model reference.")],
    source: Annotated[
        Path, typer.Argument(metavar="CORPUS|FILE", help="A corpus folder (its train split is read) or a text file.")
    ],
    output: Output,
    tokens: Annotated[int, typer.Option(help="New tokens at most.")] = 500,
) -> None:
    """Learn new tokens of a text that follow the old ones; every old rule and id stays as it is.

    `fourfold pretrain --model MODEL --new-tokens N` does the same and trains the model on them.
    """
    from fourfold.files import atomic_folder
    from fourfold.tokenizers import extend_tokenizer
    from fourfold.workflow.pretraining import save_extension

    old = load_tokenizer(tokenizer)
    texts = list(_texts(source))
    new, pieces = extend_tokenizer(old, texts, tokens)
    with atomic_folder(output) as part:
        save_extension(new, pieces, part)
    sample = texts[:SAMPLED]
    size = sum(len(text.encode()) for text in sample)
    before, after = (sum(len(t.encode_ordinary(text)) for text in sample) or 1 for t in (old, new))
    show(f"{len(pieces):,} new tokens, {new.vocabulary_size:,} in all; "
         f"{size / before:.2f} → {size / after:.2f} bytes a token on the text they were learnt from")  # fmt: skip
    finish(where=output / "tokenizer.json", next_command=["tokenizer", "encode", output, "Some text"])


@group.command(epilog='Example: fourfold tokenizer encode smollm2 "Tokens are not words."')
def encode(
    tokenizer: Annotated[str, typer.Argument(metavar="TOKENIZER", help="A tokenizer folder or a model reference.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text, or - for standard input.")],
    as_json: Json = False,
) -> None:
    """The ids of a text, and the piece each stands for."""
    words = read_input(text) if text == "-" else text
    chosen = load_tokenizer(tokenizer)
    ids = chosen.encode(words)
    pieces = [chosen.decode([id], skip_special=False) for id in ids]
    size, characters = len(words.encode()), len(words)
    summary = {
        "tokens": len(ids),
        "bytes_per_token": size / max(len(ids), 1),
        "characters_per_token": characters / max(len(ids), 1),
    }
    if as_json:
        show_json({"ids": ids, "pieces": pieces, **summary})
    else:
        show(" ".join(f"{id}:{piece!r}" for id, piece in zip(ids, pieces, strict=True)))
        show(f"{len(ids)} tokens, {summary['bytes_per_token']:.2f} bytes and "
             f"{summary['characters_per_token']:.2f} characters a token")  # fmt: skip
    finish(next_command=["tokenizer", "train", "CORPUS", "-o", "tokenizer"], result_on_stdout=False)


def _texts(source: Path) -> Iterator[str]:
    from fourfold.pretraining.corpus import decode, read_documents

    if (source / "train.jsonl").is_file():
        return (document.text for document in read_documents(source / "train.jsonl"))
    if source.is_file():
        return iter([decode(source.read_bytes()).text])
    raise UserError(
        "neither a corpus nor a text file",
        where=source,
        advice=f"Make a corpus first: fourfold corpus build {source} -o corpus",
    )
