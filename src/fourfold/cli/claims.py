"""`fourfold claim`: the survey's statements as experiments, with a verdict and a figure bundle."""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import command_line, duration, finish, resume_command, say, show, show_json, show_table
from fourfold.cli.options import START, Json
from fourfold.errors import UserError

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="The survey's claims as experiments: list, run, register.")
commands.add_typer(group, name="claim", rich_help_panel=START)

DEFAULT_RUNS = Path("runs/claims")


@group.command("list", epilog="Example: fourfold claim list")
def list_claims(as_json: Json = False) -> None:
    """The claims there are, in the survey's order: what is said, how to check it, and what our runs found."""
    from fourfold.workflow.claims import CHAPTERS, claim_index

    listed = claim_index()
    if as_json:
        show_json([dataclasses.asdict(entry) for entry in listed])
    else:
        chapter = ""
        for entry in listed:
            if entry.chapter != chapter:
                chapter = entry.chapter
                show(f"{CHAPTERS[chapter].en}  {CHAPTERS[chapter].zh}")
                show()
            for line in _entry(entry):
                show("  " + line)
            show()
    finish(next_command=["claim", "run", listed[0].name], result_on_stdout=False)


def _entry(entry: Any) -> list[str]:
    """A claim in a few lines of the terminal."""
    found = entry.registered
    minutes = f"--quick {entry.minutes['quick']:g} min, --full {entry.minutes['full']:g} min"
    verdict = f"{found['verdict']} ({found['verdict_zh']})" if found else "no registered run"
    lines = [
        entry.title["zh"],
        *textwrap.wrap(f"{entry.statement['en']} ({'; '.join(entry.references)})", 96),
        entry.statement["zh"],
        f"{entry.command}   {minutes}",
        f"Models: {entry.models}",
    ]
    if found:
        lines.append(f"Here: {found['sentence']} ({found['size']}, {duration(found['seconds'])}, {found['date']})")
    return [f"{entry.section:<6} {entry.title['en']}: {verdict}", *(" " * 7 + line for line in lines)]


@group.command("run", epilog="Example: fourfold claim run activations --quick")
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A claim of the list, or a claim file (TOML).")],
    quick: Annotated[bool, typer.Option("--quick", help="Minutes: small models. The default.")] = False,
    full: Annotated[bool, typer.Option("--full", help="About an hour: larger models, longer training.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the result; runs/claims/NAME-SIZE if not given.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="For claims that ask a model: smollm2, a folder, hf:org/name, openai:model@url."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A file of the benchmark, or labelled records, for claims that ask for one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a claim. Finished models are kept, so running it again resumes; Ctrl-C is safe."""
    from fourfold.workflow.claims import find_claim, run_claim

    if quick and full:
        raise UserError("--quick and --full exclude each other")
    file = find_claim(name)
    size: Any = "full" if full else "quick"
    folder = output or DEFAULT_RUNS / f"{file.stem}-{size}"
    chosen = [word for option, value in (("--model", model), ("--data", data)) if value for word in (option, value)]
    again = command_line(["claim", "run", name, f"--{size}", *chosen, "-o", folder])
    resume_command.set(again)
    record = run_claim(file, size, folder, again, model=model, data=data)
    if as_json:
        show_json(record)
    else:
        _show(record)
    finish(where=folder / "page.md", next_command=["claim", "register", folder], result_on_stdout=not as_json)


def _show(record: dict[str, Any]) -> None:
    show(record["title"]["en"])
    show(f"Survey, section {record['section']}: {record['statement']['en']}")
    show()
    names = [key for key in record["summary"][0] if key not in ("labels", "seeds", "compared")]
    show_table(
        {
            **row["labels"],
            **{name: _with_width(row[name]["mean"], row[name]["low"], row[name]["high"]) for name in names},
        }
        for row in record["summary"]
    )
    show("Mean over seeds ± half the 95 % interval.")
    show()
    show_table(
        {
            "prediction": row["says"],
            "compared": f"{row['better']} against {row['than']}",
            "advantage": f"{row['advantage']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
            "detectable": row["detectable"],
            "n": row["n"],
            "": row["outcome"] if row["decides"] else f"({row['outcome']})",
        }
        for row in record["comparisons"]
    )
    show()
    show(f"Our run {record['verdict']}. {record['sentence']} ({record['size']}, {duration(record['seconds'])})")


def _with_width(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ± {(high - low) / 2:.3f}"


@group.command("register", epilog="Example: fourfold claim register runs/claims/activations-quick --docs docs/claims")
def register_runs(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN...]", help="Folders of finished claims; without any, the index is written anew."),
    ] = None,
    docs: Annotated[Path, typer.Option(help="Folder of the pages and their index.")] = Path("docs/claims"),
) -> None:
    """Put pages and figures of finished claims among the docs, and write their index anew."""
    from fourfold.workflow.claims import register

    index = register(runs or [], docs)
    say(f"{len(runs or [])} registered")
    finish(where=index, next_command=["claim", "list"])
