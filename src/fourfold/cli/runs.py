"""`fourfold run`, `runs` and `report`: walk a recipe, look after what it left."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import (
    duration,
    finish,
    gigabytes,
    open_in_browser,
    resume_command,
    say,
    show,
    show_json,
    show_table,
)
from fourfold.cli.options import START, Json, Runs
from fourfold.errors import UserError, unknown_name
from fourfold.files import read_json
from fourfold.launch import follows, program

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="List, show and remove runs.")
commands.add_typer(group, name="runs", rich_help_panel=START)

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or its folder.")]
DEFAULT_RUNS = Path("runs")


@commands.command(
    rich_help_panel=START, epilog="Example: fourfold run recipes/tiny.toml --set pretrain.decoder.optimizer.lr=3e-4"
)
def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe file (TOML).")],
    only: Annotated[str | None, typer.Option(help="Only this stage (kind.name) and what it needs.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override kind.name.key; may be given again.")
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    no_compile: Annotated[bool, typer.Option("--no-compile", help="Compile no pre-training.")] = False,
) -> None:
    """Walk a recipe, stage by stage. Run it again to resume; Ctrl-C is safe."""
    if no_compile:
        override = [*(override or []), *uncompiled(recipe, override or [])]
    words: list[object] = ["run", recipe, "--runs", runs]
    words += [word for value in override or [] for word in ("--set", value)]
    result = walk(recipe, override or [], runs, only=only, again=[*words, *(["--only", only] if only else [])])
    if open_report and result.report is not None:
        open_in_browser(result.report)
    finish(where=result.report or result.folder, next_command=["report", result.folder, "--open"])


def walk(
    recipe: Path | str, overrides: list[str], runs: Path, *, only: str | None = None, again: list[object] | None = None
) -> Any:
    """Run a recipe (a path or its text), tell what each stage took, and end with what to do next."""
    from fourfold.workflow import parse_recipe, run_recipe

    try:
        parsed = parse_recipe(recipe, overrides)
    except UserError as error:
        if follows():  # the first process says it
            raise typer.Exit(error.exit_code) from None
        raise
    words = again or ["run", runs / parsed.name / "recipe.toml", "--runs", runs]
    resume_command.set(shlex.join([*program(), *map(str, words)]))
    result = run_recipe(parsed, runs, only=only)
    show_table(
        {
            "stage": stage.name,
            "time": duration(stage.seconds),
            "peak memory": gigabytes(stage.peak_memory_bytes),
            "": "done before" if stage.skipped else "",
        }
        for stage in result.stages
    )
    return result


def uncompiled(recipe: Path, overrides: list[str]) -> list[str]:
    """What `--no-compile` says to each pre-training of the recipe."""
    from fourfold.workflow import parse_recipe

    stages = parse_recipe(recipe, overrides).stages
    return [f"{stage.full_name}.compile=false" for stage in stages if stage.kind == "pretrain"]


def is_run(folder: Path) -> bool:
    return (folder / "manifest.json").is_file()


def find_run(name: str, runs: Path) -> Path:
    """The folder of a run given by name or by path."""
    for folder in (runs / name, Path(name)):
        if is_run(folder):
            return folder
    known = [folder.name for folder in runs.iterdir() if is_run(folder)] if runs.is_dir() else []
    if not known:
        raise UserError(f"there is no run '{name}'", where=runs, advice="Make one with: fourfold quickstart")
    raise unknown_name("run", name, known, where=runs)


def describe(folder: Path) -> dict[str, Any]:
    manifest = read_json(folder / "manifest.json")
    last = manifest["sittings"][-1]
    done = manifest["stages"]
    return {
        "name": folder.name,
        "started": last["started"],
        "outcome": last["outcome"],
        "stages_done": len(done),
        "stages": len(manifest["order"]),
        "seconds": round(sum(record["seconds"] for record in done.values()), 1),
        "report": str(folder / "report.html") if (folder / "report.html").is_file() else None,
    }


@group.command("list", epilog="Example: fourfold runs list")
def list_runs(runs: Runs = DEFAULT_RUNS, as_json: Json = False) -> None:
    """The runs there are, newest first."""
    found = []
    for folder in runs.iterdir() if runs.is_dir() else []:
        try:
            found += [describe(folder)] if is_run(folder) else []
        except UserError as error:
            say(f"left out: {error}")
    found.sort(key=lambda row: str(row["started"]), reverse=True)
    if as_json:
        show_json(found)
    elif found:
        rows = [
            {**row, "time": duration(row["seconds"]), "done": f"{row['stages_done']}/{row['stages']}"} for row in found
        ]
        show_table(rows, {"name": "run", "started": "started", "done": "stages", "time": "time", "outcome": "outcome"})
    else:
        say(f"There are no runs in {runs}.")
    finish(next_command=["runs", "show", found[0]["name"]] if found else ["quickstart"], result_on_stdout=False)


@group.command("show", epilog="Example: fourfold runs show quickstart-12")
def show_run(name: RunName, runs: Runs = DEFAULT_RUNS, as_json: Json = False) -> None:
    """The stages of a run: time, memory, files."""
    folder = find_run(name, runs)
    manifest = read_json(folder / "manifest.json")
    if as_json:
        show_json({**describe(folder), "manifest": manifest})
    else:
        show_table(
            {
                "stage": stage,
                "time": duration(record["seconds"]) if record else "–",
                "peak memory": gigabytes(record["peak_memory_bytes"]) if record else "–",
                "files": ", ".join(record["outputs"]) if record else "not done",
            }
            for stage in manifest["order"]
            for record in [manifest["stages"].get(stage)]
        )
    finish(where=folder, next_command=["report", name, "--open"], result_on_stdout=not as_json)


@group.command("rm", epilog="Example: fourfold runs rm quickstart-5 --yes")
def remove_run(
    name: RunName,
    runs: Runs = DEFAULT_RUNS,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a run folder with everything in it."""
    from fourfold.files import lock_folder

    folder = find_run(name, runs)
    if not yes:
        typer.confirm(f"Remove {folder} and everything in it?", abort=True, err=True)
    with lock_folder(folder):
        shutil.rmtree(folder)
    show(f"Removed {folder}.")
    finish(next_command=["runs", "list"], result_on_stdout=False)


@commands.command(rich_help_panel=START, epilog="Example: fourfold report quickstart-12 --open")
def report(
    name: RunName,
    runs: Runs = DEFAULT_RUNS,
    language: Annotated[str, typer.Option("--lang", help="Language it opens in: en or zh.")] = "en",
    open_report: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report of a run again, and open it."""
    from fourfold.workflow.report import write_report

    if language not in ("en", "zh"):
        raise UserError("unknown --lang", expected="en or zh", got=language)
    path = write_report(find_run(name, runs), "zh" if language == "zh" else "en")
    if open_report:
        open_in_browser(path)
    finish(where=path, next_command=["runs", "show", name])
