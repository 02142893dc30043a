"""The folder of a comparison: page, plot, tables, and the numbers they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from fourfold.evaluation import amount
from fourfold.files import atomic_file, write_json, write_text
from fourfold.workflow.report.flips import write_flips
from fourfold.workflow.report.forest import draw_forest
from fourfold.workflow.report.plotting import can_plot, themed

SHOWN_FLIPS = 200


def write_comparison(results: Mapping[str, Any], folder: Path) -> Path:
    """Write comparison.json, flips.csv, forest.svg and .png (where matplotlib is installed) and comparison.html.

    `results` is what `fourfold.evaluation.compare` returned. The page needs no network and no other file; returns its
    path.
    """
    label_a, label_b = (str(results[side]["model"]) for side in "ab")
    forest = draw_forest(results["rows"], label_a, label_b) if can_plot() else None
    write_json(folder / "comparison.json", results)
    write_flips(results["flips"], folder / "flips.csv", label_a, label_b)
    if forest:
        write_text(folder / "forest.svg", forest.svg)
        with atomic_file(folder / "forest.png") as stream:
            stream.write(forest.png)
    label = f"Differences by task with 95 % intervals: {results['sentence']}"
    drawing = Markup(themed(forest.svg, "forest", label)) if forest else None
    page = folder / "comparison.html"
    write_text(page, _rendered(results, drawing))
    return page


def _rendered(results: Mapping[str, Any], drawing: Markup | None) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"amount": amount, "percent": _share, "cut": _cut}
    folder = resources.files(__package__).joinpath("templates")
    template = environment.from_string(folder.joinpath("comparison.html").read_text("utf-8"))
    style = Markup(folder.joinpath("report.css").read_text("utf-8"))
    flips = sorted(results["flips"], key=lambda flip: bool(flip["score_b"] > flip["score_a"]))
    return template.render(results, style=style, drawing=drawing, shown_flips=flips[:SHOWN_FLIPS])


def _share(value: float | None, row: Mapping[str, Any]) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if row["in_points"] else f"{value:.4g}"


def _cut(text: object, width: int = 220) -> str:
    flat = " ".join(str(text).split())
    return flat if len(flat) <= width else f"{flat[:width]}…"
