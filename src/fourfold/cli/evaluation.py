"""`fourfold evaluate` and `fourfold compare`: scores with intervals, differences with a verdict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import command_line, finish, resume_command, show, show_json, show_table
from fourfold.cli.options import EVALUATE, DataType, Json, Seed, load_model, names
from fourfold.errors import UserError
from fourfold.files import read_text

if TYPE_CHECKING:
    from fourfold.evaluation import Task

commands = typer.Typer()

Tasks = Annotated[
    str,
    typer.Option(
        help="a,b,… of arithmetic, arithmetic_unseen, general, format, continuation, file:PATH.jsonl, and public"
        " ones: arc_easy@FILE, mmlu@FOLDER; without @ they come from the hub (docs/tasks.md lists them)."
    ),
]
Methods = Annotated[
    str,
    typer.Option(
        "--solvers",
        "--method",
        help="Ways of asking: log_likelihood, letters, letter_generation, letter_chat; zero_shot, few_shot,"
        " chain_of_thought, …; a task that has none of these is asked in its own way.",
    ),
]
Shots = Annotated[int, typer.Option(help="Demonstrations before each question of a public task.")]
ShotsFrom = Annotated[
    list[str] | None,
    typer.Option(help="File or folder the demonstrations come from, for one task: TASK@PATH; may be repeated."),
]


@commands.command(
    rich_help_panel=EVALUATE, epilog="Example: fourfold evaluate smollm2 --tasks arithmetic,general --limit 32"
)
def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Later ones are compared with the first.")],
    tasks: Tasks,
    solvers: Methods = "zero_shot",
    shots: Shots = 0,
    shots_from: ShotsFrom = None,
    limit: Annotated[int | None, typer.Option(help="At most so many items of a task, drawn with the seed.")] = None,
    text: Annotated[Path | None, typer.Option(help="Held-out text the task `continuation` is made from.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the results; evaluations/MODEL if not given.")
    ] = None,
    seed: Seed = 0,
    dtype: DataType = None,
    as_json: Json = False,
) -> None:
    """Put tasks to models. Finished parts are kept, so running it again resumes.

    Demonstrations are the first of a task's own split for them, of the question's subject where there are subjects.
    """
    from fourfold import evaluation
    from fourfold.workflow.fingerprint import source_fingerprint

    if not names(tasks):
        raise UserError("no task is named", where="--tasks", expected=", ".join(evaluation.task_names()))

    folder = output or Path("evaluations") / (re.sub(r"[^\w.-]+", "-", models[0]).strip("-.") or "model")
    again: list[object] = ["evaluate", *models, "--tasks", tasks, "--solvers", solvers, "-o", folder, "--seed", seed]
    given = {"--limit": limit, "--text": text, "--shots": shots, "--dtype": dtype}
    again += [word for name, value in given.items() if value for word in (name, value)]
    again += [word for place in shots_from or () for word in ("--shots-from", place)]
    resume_command.set(command_line(again))
    made = _tasks(names(tasks), read_text(text) if text else None, shots, shots_from or [])
    results = evaluation.evaluate(
        {model: load_model(model, dtype) for model in dict.fromkeys(models)},
        made,
        folder=folder,
        solvers=names(solvers),
        seed=seed,
        limit=limit,
        hashes={model: f"{source_fingerprint(model)}{dtype or ''}" for model in models},
    )
    if as_json:
        show_json(results)
    else:
        _show_results(results)
    finish(where=folder, next_command=["compare", folder, "OTHER"], result_on_stdout=not as_json)


def _tasks(wanted: list[str], held_out: str | None, shots: int, shots_from: list[str]) -> list[Task]:
    """The tasks, public ones with their demonstrations."""
    from fourfold.evaluation import is_benchmark, make_task

    places: dict[str, str] = {}
    for given in shots_from:
        name, at, place = given.partition("@")
        if not at or name not in [task.partition("@")[0] for task in wanted]:
            expected = "TASK@PATH with one of the tasks"
            raise UserError("no task to show demonstrations for", where="--shots-from", expected=expected, got=given)
        places[name] = place
    if (shots or places) and not any(map(is_benchmark, wanted)):
        raise UserError("demonstrations are for public tasks", where="--shots", got=", ".join(wanted))
    return [
        make_task(task, held_out=held_out, shots=shots, shots_from=places.get(task.partition("@")[0]))
        for task in wanted
    ]


def _show_results(results: dict[str, Any]) -> None:
    columns = ["label", "task", "solver", "metric", "value", "low", "high", "n", "chance", "detectable", "method"]
    others = [row for row in results["details"] if "subject" not in row]
    show_table([*results["rows"], *others], {key: key for key in columns})
    if results["comparisons"]:
        show()
        columns = ["task", "solver", "a", "b", "difference", "low", "high", "p_value", "verdict"]
        show_table(results["comparisons"], {key: key for key in columns})
