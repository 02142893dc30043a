"""`fourfold compare` and `fourfold results`: a difference with a verdict, and results for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fourfold.cli.console import finish, say, show, show_json, show_table
from fourfold.cli.options import EVALUATE, Json, Output, Seed, names
from fourfold.errors import UserError

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Results of `evaluate` for other tools.")
commands.add_typer(group, name="results", rich_help_panel=EVALUATE)

SHOWN = 6
COLUMNS = ("task", "metric", "n", "A", "B", "difference", "95 % interval", "gained", "lost", "p (Holm)", "detectable")


@commands.command(rich_help_panel=EVALUATE, epilog="Example: fourfold compare evaluations/before evaluations/after")
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Results of `evaluate` or lm-eval, or a JSONL of scores.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The one that may be better.")],
    metric: Annotated[
        str | None, typer.Option(help="Which metric; NAME_A=NAME_B where the two call it differently.")
    ] = None,
    train: Annotated[
        list[Path] | None, typer.Option(help="Training text: items that stand in it are flagged. Several times.")
    ] = None,
    flips: Annotated[Path | None, typer.Option(help="Write the items that changed to a .md, .csv or .jsonl.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for page, forest plot, tables and numbers.")
    ] = None,
    pool: Annotated[str, typer.Option(help="Take tasks NAME_… as parts of one; lm-eval's groups are known.")] = "",
    model_a: Annotated[str | None, typer.Option(help="Which model, when A holds several.")] = None,
    model_b: Annotated[str | None, typer.Option(help="Which model, when B holds several.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Is B better than A, or is it noise? Paired item by item, also across harnesses: ours, lm-eval's, anybody's."""
    from fourfold import evaluation
    from fourfold.workflow.report import write_comparison, write_flips

    if not a.exists() or not b.exists():
        raise UserError("no such result", where=b if a.exists() else a, advice="Make one with: fourfold evaluate")
    results = evaluation.compare(
        a, b, model_a=model_a, model_b=model_b, metric=metric, pool=names(pool), train=train or [], seed=seed
    )
    if flips:
        write_flips(results["flips"], flips, results["a"]["model"], results["b"]["model"])
    page = write_comparison(results, output) if output else None
    show_json(results) if as_json else _show(results)
    finish(where=page or flips, next_command=_next(a, b, page), result_on_stdout=not as_json)


@group.command("export", epilog="Example: fourfold results export evaluations/smollm2 -o for-lm-eval")
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Results of `evaluate`.")],
    output: Output,
) -> None:
    """Write results in lm-eval's layout: results_DATE.json and samples_TASK_DATE.jsonl in a folder a model."""
    from fourfold.evaluation import export_lm_eval

    places = export_lm_eval(folder, output)
    finish(where=output, next_command=["compare", places[0], "OTHER"])


def _show(results: dict[str, Any]) -> None:
    from fourfold.evaluation import amount

    show(results["sentence"])
    for warning in results["warnings"]:
        say(f"Warning: {warning}")
    show()
    show_table([_line(row, amount) for row in results["rows"]], {name: name for name in COLUMNS})
    if len(results["rows"]) > 1:
        show()
        for row in results["rows"]:
            show(row["sentence"])
    _show_flips(results["flips"])
    if results["train"]:
        show(f"{len(results['flagged'])} items stand in the training data.")
    for note in results["notes"]:
        say(note)


def _line(row: dict[str, Any], amount: Any) -> dict[str, object]:
    scale, unit = (100, " %") if row["in_points"] else (1, "")
    return {
        "task": row["task"],
        "metric": row["metric"] if row["metric"] == row["metric_b"] else f"{row['metric']} = {row['metric_b']}",
        "n": row["n"],
        "A": f"{scale * row['value_a']:.1f}{unit}",
        "B": f"{scale * row['value_b']:.1f}{unit}",
        "difference": amount(row["difference"], row, unit=False),
        "95 % interval": f"{amount(row['low'], row, unit=False)} to {amount(row['high'], row, unit=False)}",
        "gained": row["gained"],
        "lost": row["lost"],
        "p (Holm)": float(row["p_holm"]),
        "detectable": None if row["detectable"] is None else f"{100 * row['detectable']:.1f}",
    }


def _show_flips(flips: list[dict[str, Any]]) -> None:
    if not flips:
        return
    show()
    for flip in flips[:SHOWN]:
        mark = "gained" if flip["score_b"] > flip["score_a"] else "lost"
        question = " ".join(flip["question"].split())[:60] or f"item {flip['id']}"
        show(f"{mark:6} {flip['task']} {flip['id']}: {question!r}: {_cut(flip['output_a'])} → {_cut(flip['output_b'])}")
    if len(flips) > SHOWN:
        show(f"… {len(flips) - SHOWN} more; --flips FILE writes them all.")


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 40 else f"{flat[:40]}…")


def _next(a: Path, b: Path, page: Path | None) -> list[object]:
    return ["evaluate", "MODEL", "--tasks", "arithmetic"] if page else ["compare", a, b, "-o", "comparison"]
