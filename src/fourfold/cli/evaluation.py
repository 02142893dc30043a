"""`fourfold evaluate` and `fourfold compare`: scores with intervals, differences with a verdict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import command_line, finish, resume_command, show, show_json, show_table
from fourfold.cli.options import EVALUATE, Json, Seed, load_model, names
from fourfold.errors import UserError
from fourfold.files import read_text

commands = typer.Typer()


@commands.command(
    rich_help_panel=EVALUATE, epilog="Example: fourfold evaluate smollm2 --tasks arithmetic,general --limit 32"
)
def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Later ones are compared with the first.")],
    tasks: Annotated[
        str, typer.Option(help="arithmetic, arithmetic_unseen, general, format, continuation, file:PATH.jsonl; a,b,…")
    ],
    solvers: Annotated[
        str, typer.Option("--solvers", "--method", help="Ways of asking: zero_shot, few_shot, chain_of_thought, …")
    ] = "zero_shot",
    limit: Annotated[int | None, typer.Option(help="At most so many items of a task.")] = None,
    text: Annotated[Path | None, typer.Option(help="Held-out text the task `continuation` is made from.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the results; evaluations/MODEL if not given.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Put tasks to models. Finished parts are kept, so running it again resumes."""
    from fourfold import evaluation
    from fourfold.workflow.fingerprint import source_fingerprint

    if not names(tasks):
        raise UserError("no task is named", where="--tasks", expected=", ".join(evaluation.task_names()))

    folder = output or Path("evaluations") / (re.sub(r"[^\w.-]+", "-", models[0]).strip("-.") or "model")
    again: list[object] = ["evaluate", *models, "--tasks", tasks, "--solvers", solvers, "-o", folder, "--seed", seed]
    resume_command.set(
        command_line([*again, *(["--limit", limit] if limit else []), *(["--text", text] if text else [])])
    )
    results = evaluation.evaluate(
        {model: load_model(model) for model in dict.fromkeys(models)},
        names(tasks),
        folder=folder,
        solvers=names(solvers),
        seed=seed,
        limit=limit,
        hashes={model: source_fingerprint(model) for model in models},
        held_out=read_text(text) if text else None,
    )
    if as_json:
        show_json(results)
    else:
        _show_results(results)
    finish(where=folder, next_command=["compare", folder, "OTHER"], result_on_stdout=not as_json)


def _show_results(results: dict[str, Any]) -> None:
    columns = ["label", "task", "solver", "metric", "value", "low", "high", "n", "chance", "detectable"]
    show_table(results["rows"], {key: key for key in columns})
    if results["comparisons"]:
        show()
        columns = ["task", "solver", "a", "b", "difference", "low", "high", "p_value", "verdict"]
        show_table(results["comparisons"], {key: key for key in columns})
