"""`fourfold doctor`: what is wrong with this checkpoint or data file?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fourfold.cli.console import finish, show, show_json, show_table
from fourfold.cli.options import HOUSE, Json
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.workflow.doctor import Language, Report

commands = typer.Typer()
FOUND_ERRORS = 2
LABEL_WIDTH = 20
WORDS = {
    "en": {"error": ("error", "errors"), "warning": ("warning", "warnings"), "note": ("note", "notes"),
           "sound": "sound", "finding": "finding", "code": "code",
           "unseen": "not looked at", "severity": ""},
    "zh": {"error": ("个错误",) * 2, "warning": ("个警告",) * 2, "note": ("条提示",) * 2,
           "sound": "健全", "finding": "发现", "code": "代码",
           "unseen": "未查看", "severity": ""},
}  # fmt: skip
SEVERITY_NAMES = {"en": {}, "zh": {"error": "错误", "warning": "警告", "note": "提示"}}


@commands.command(
    rich_help_panel=HOUSE,
    epilog="Example: fourfold doctor smollm2 chats.jsonl --against arc_easy.jsonl   or   fourfold doctor chats.jsonl",
)
def doctor(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A folder, an adapter, a .gguf or .arpa file, smollm2, hf:org/name (cached); or a data file alone.",
        ),
    ],
    data: Annotated[
        Path | None, typer.Argument(metavar="[DATA]", help="JSON lines, JSON, Parquet, CSV or text.")
    ] = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="An evaluation set that the data should not hold; may be repeated.")
    ] = None,
    context: Annotated[int | None, typer.Option(help="Tokens of a training row; the model's own if not given.")] = None,
    base: Annotated[str | None, typer.Option(help="The base of an adapter, in place of the one it names.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Every weight, every hash, every row, however long.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings end with exit code 2 as errors do.")] = False,
    lang: Annotated[str, typer.Option(help="Language of the findings: en or zh.")] = "en",
    as_json: Json = False,
) -> None:
    """What is wrong with a checkpoint or a data file, in seconds. Exit code 2 when there are errors."""
    from fourfold.workflow.doctor import DATA_FILES, examine

    language = chosen(lang)
    alone = data is None and Path(model).suffix.lower() in DATA_FILES and Path(model).is_file()
    reference, file = (None, Path(model)) if alone else (model, data)
    if context is not None and context < 1:
        raise UserError("a context needs tokens", expected="1 or more", got=context)
    if against and file is None:
        raise UserError("--against compares data with an evaluation set", advice="Name a data file after the model.")
    report = examine(reference, file, against=tuple(against or ()), context=context, base=base, deep=deep)
    code = FOUND_ERRORS if report.count("error") or (strict and report.count("warning")) else 0
    if as_json:
        show_json({"verdict": verdict(report, language), "exit_code": code, **report.record(language)})
    else:
        show_report(report, language)
    finish(next_command=following(report, reference, file), result_on_stdout=False)
    if code:
        raise typer.Exit(code)


def chosen(lang: str) -> Language:
    if lang not in ("en", "zh"):
        raise UserError("unknown language", expected="en or zh", got=lang)
    return "en" if lang == "en" else "zh"


def verdict(report: Report, language: Language) -> str:
    """`2 errors, 1 warning`, or that it is sound."""
    words = WORDS[language]
    space = " " if language == "en" else ""
    counts = {severity: report.count(severity) for severity in ("error", "warning", "note")}
    told = [f"{n}{space}{words[severity][n != 1]}" for severity, n in counts.items() if n]
    if not counts["error"] and not counts["warning"]:
        told.insert(0, str(words["sound"]))
    return (", " if language == "en" else "，").join(told)


def show_report(report: Report, language: Language) -> None:
    """Verdict, table of findings, facts, what was not looked at."""
    words = WORDS[language]
    show(f"{report.subject}: {verdict(report, language)}")
    show()
    names = SEVERITY_NAMES[language]
    rows = [finding.record(language) for finding in report.sorted()]
    if rows:
        for row in rows:
            row["severity"] = names.get(row["severity"], row["severity"])
            place = f"{row['where']}: " if row["where"] else ""
            row["finding"] = f"{place}{row['sentence']}\n→ {row['fix']}"
        show_table(rows, {key: str(words[key]) for key in ("severity", "code", "finding")})
        show()
    for fact in report.facts:
        show(f"{padded(fact.label.of(language))}{fact.value.of(language)}")
    for unseen in report.unseen:
        show(f"{padded(str(words['unseen']))}{unseen.what.of(language)}")


def padded(label: str) -> str:
    """A label in its column; Chinese characters are two columns wide."""
    from rich.cells import cell_len

    return label + " " * max(LABEL_WIDTH - cell_len(label), 2)


def following(report: Report, reference: str | None, data: Path | None) -> list[object]:
    """What to do next: look deeper, or use it."""
    if report.unseen:
        return ["doctor", *filter(None, (reference, data)), "--deep"]
    if report.count("error"):
        return ["doctor", *filter(None, (reference, data))]
    if reference is not None and data is not None:
        return ["tune", "sft", "--model", reference, "--data", data, "-o", "tuned"]
    if reference is not None:
        return ["doctor", reference, "DATA"]
    return ["doctor", "smollm2", data]
