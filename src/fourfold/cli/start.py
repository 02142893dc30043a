"""`fourfold quickstart` and `fourfold init`: the main job, and a recipe to make it your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fourfold.cli.console import command_line, finish, open_in_browser, say
from fourfold.cli.options import START, Runs
from fourfold.cli.runs import DEFAULT_RUNS, walk
from fourfold.errors import UserError
from fourfold.files import write_text

commands = typer.Typer()
Minutes = Annotated[int, typer.Option(help="How long it may take on two cores: 5, 12 or 60.")]
Language = Annotated[str, typer.Option("--lang", help="Language of the report: en or zh.")]


@commands.command(rich_help_panel=START, epilog="Example: fourfold quickstart --data notes/ --minutes 12 --open")
def quickstart(
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Your text instead of ours.")] = None,
    minutes: Minutes = 12,
    language: Language = "en",
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """From text to a pre-trained, adapted and evaluated model, and a report.

    Four generations of model learn the same text, the largest is taught a tool, and everything is
    measured. Run it again to resume.
    """
    from fourfold.workflow.quickstart import quickstart_recipe

    again: list[object] = ["quickstart", *(["--data", data] if data else []), "--minutes", minutes]
    again += ["--lang", language, *(["--runs", runs] if runs != DEFAULT_RUNS else [])]
    result = walk(quickstart_recipe(minutes, data, _language(language)), [], runs, again=again)
    if result.report is None:
        finish(where=result.folder, next_command=["report", result.folder])
        return
    if open_report:
        open_in_browser(result.report)
    say("Three things to try:")
    for words in (
        ["chat", result.folder / "tune.tool_replay" / "adapter"],
        ["score", "smollm2", "FILE"],
        ["init", data or "DIR"],
    ):
        say(f"  {command_line(words)}")
    finish(where=result.report, next_command=["report", result.folder, "--open"])


@commands.command(rich_help_panel=START, epilog="Example: fourfold init notes/ -o notes.toml")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of your text.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The recipe to write.")] = Path("recipe.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Look at a folder and write a commented recipe that fits it and this machine."""
    from fourfold.workflow.survey import describe_folder, init_recipe

    if output.exists() and not force:
        raise UserError("there is a file already", where=output, advice="Use --force to replace it, or another -o.")
    for sentence in describe_folder(folder).sentences():
        say(sentence)
    write_text(output, init_recipe(folder))
    finish(where=output, next_command=["plan", output])


def _language(name: str) -> Literal["en", "zh"]:
    if name not in ("en", "zh"):
        raise UserError("unknown --lang", expected="en or zh", got=name)
    return "zh" if name == "zh" else "en"
