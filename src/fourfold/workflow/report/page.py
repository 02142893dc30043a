"""The report's page: a view of the run poured into one template."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from fourfold.errors import UserError
from fourfold.files import write_text
from fourfold.workflow.report.bars import rates, train_and_held_out
from fourfold.workflow.report.cards import cards, machine_facts, published_cards
from fourfold.workflow.report.curves import bits_against_seconds, losses, stored_run
from fourfold.workflow.report.evaluations import finetuning_blocks, other_blocks, prompting, tuning_blocks
from fourfold.workflow.report.figures import Figure, write_figure
from fourfold.workflow.report.formatting import duration
from fourfold.workflow.report.language import LANGUAGES, Language, Text, words, words_or
from fourfold.workflow.report.loading import Run, load_run
from fourfold.workflow.report.noise import noise_scales
from fourfold.workflow.report.plotting import GENERATION_COLOURS, can_plot
from fourfold.workflow.report.sentences import opening_sentences
from fourfold.workflow.report.tables import (
    evaluation_lines,
    file_lines,
    sample_groups,
    score_lines,
    stage_lines,
)


def write_report(run_folder: Path, language: Language = "en") -> Path:
    """Write report.html and figures/ into a run folder and return the page's path.

    The page holds both languages and both themes and needs no network; `language` is
    the one it opens in. A run that is not finished gives a report of what is there.
    """
    if language not in LANGUAGES:
        raise UserError("unknown language of the report", expected=" or ".join(LANGUAGES), got=f"'{language}'")
    run = load_run(Path(run_folder))
    drawn = {
        "prediction": write_figure(bits_against_seconds(run), run.folder),
        "memory": write_figure(train_and_held_out(run), run.folder),
        "pretraining": write_figure(rates("pretraining", finetuning_blocks(run)), run.folder),
        "tuning": write_figure(rates("tuning", tuning_blocks(run)), run.folder),
        "abilities": write_figure(rates("abilities", other_blocks(run)), run.folder),
        "losses": write_figure(losses(run), run.folder),
        "noise": write_figure(noise_scales(run), run.folder),
    }
    page = _environment().get_template("page.html").render(_view(run, drawn), language=language)
    target = run.folder / "report.html"
    write_text(target, page)
    return target


def _view(run: Run, figures: Mapping[str, Figure | None]) -> dict[str, object]:
    files = [name for figure in figures.values() if figure for name in figure.files]
    return {
        "run": run,
        "title": _title(run),
        "figures": figures,
        "can_plot": can_plot(),
        "sentences": opening_sentences(run),
        "missing": ", ".join(stage.key for stage in run.missing),
        "warnings": [(stage, warning) for stage in run.stages for warning in stage.warnings],
        "generations": {row.model: row.generation for row in run.scores},
        "has_stored_run": bool(stored_run(run)),
        "scores": score_lines(run),
        "finetuned": evaluation_lines(run, finetuning_blocks(run)),
        "tuned": evaluation_lines(run, tuning_blocks(run)),
        "others": evaluation_lines(run, other_blocks(run)),
        "sample_groups": sample_groups(run),
        "matrices": prompting(run),
        "data_cards": cards(run, "corpus", "tokenizer", "data"),
        "model_cards": [*cards(run, "pretrain"), *published_cards(run), *cards(run, "finetune", "tune")],
        "stages": stage_lines(run),
        "total": duration(sum(stage.seconds or 0 for stage in run.stages)),
        "machine": machine_facts(run),
        "files": file_lines(run, files),
    }


def _title(run: Run) -> Text:
    generations = {row.generation for row in run.scores} | {stage.generation for stage in run.of_kind("pretrain")}
    if not generations:
        return words("title_adapt" if run.of_kind("tune") else "title_evaluate" if run.evaluations else "title_text")
    return words("title" if len(generations) == 4 else "title_several")


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        words=words,
        words_or=words_or,
        generations_known=tuple(GENERATION_COLOURS),
        style=Markup(_template("report.css")),
        script=Markup(_template("report.js")),
    )
    environment.filters["link"] = _link
    return environment


def _template(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


def _link(path: str) -> str:
    """A path inside the run as a relative link that no name in it can turn into another scheme."""
    return "./" + quote(path)
