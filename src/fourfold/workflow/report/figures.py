"""What a figure is: panels in both languages, the numbers behind them, and where those come from."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from markupsafe import Markup

from fourfold.files import write_text
from fourfold.workflow.report.language import LANGUAGES, Language, Text
from fourfold.workflow.report.plotting import can_plot, themed

Cell = str | float | None
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


class Drawing(Protocol):
    """A drawing as a value: equal values draw the same SVG."""

    def __call__(self, language: Language) -> str: ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing; several of them make a figure, beside each other where the page is wide."""

    name: str
    description: Text
    draw: Drawing


@dataclass(frozen=True, kw_only=True)
class FigureData:
    """Panels with the table they show and the files of the run it was read from."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sources: tuple[str, ...]
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure written to the run folder and ready to stand in the page."""

    csv: str
    sources: tuple[str, ...]
    drawings: tuple[Markup, ...]
    files: tuple[str, ...]


def write_figure(data: FigureData, folder: Path) -> Figure | None:
    """Write figures/*.csv and, where matplotlib is installed, figures/*.svg; None if there is nothing to show."""
    if not data.rows:
        return None
    table = f"figures/{data.name}.csv"
    _write(folder / table, _csv(data))
    drawings, files = [], [table]
    for panel in data.panels if can_plot() else ():
        shown = ""
        for language in LANGUAGES:
            svg = _drawn(panel.draw, language)
            name = f"figures/{panel.name}{'' if language == 'en' else '.zh'}.svg"
            _write(folder / name, svg)
            files.append(name)
            embedded = themed(svg, f"{panel.name}-{language}", panel.description.of(language))
            shown += f'<div class="drawing" lang="{language}">{embedded}</div>'
        drawings.append(Markup(shown))  # every text in it was escaped by the SVG writer
    return Figure(csv=table, sources=data.sources, drawings=tuple(drawings), files=tuple(files))


@lru_cache(maxsize=256)
def _drawn(draw: Drawing, language: Language) -> str:
    """A run writes its report after every stage; a drawing whose numbers stayed the same is not made again."""
    return draw(language)


def _write(path: Path, content: str) -> None:
    if not path.is_file() or path.read_bytes() != content.encode():
        write_text(path, content)


def label_of(text: str) -> str:
    """A label as it may stand in an SVG file: no characters XML forbids, and not longer than a line."""
    clean = _CONTROL.sub(" ", text).strip()
    return clean if len(clean) <= 48 else clean[:47] + "…"


def file_stem(*parts: str) -> str:
    """A file name made of names from a run."""
    return "_".join(re.sub(r"[^0-9A-Za-z\u4e00-\u9fff-]+", "_", part).strip("_") or "x" for part in parts)


def _csv(data: FigureData) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(data.header)
    writer.writerows(data.rows)
    return stream.getvalue()
