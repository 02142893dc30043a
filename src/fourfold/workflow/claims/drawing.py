"""The figures of a claim: every seed is seen, and the picture reads on light and on dark pages."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fourfold.measures import student_interval
from fourfold.workflow.claims.catalogue import measured_labels, resolve
from fourfold.workflow.claims.quantities import quantity
from fourfold.workflow.claims.spec import Claim, FigureOptions, Size
from fourfold.workflow.claims.verdicts import Row
from fourfold.workflow.report.plotting import DASHES, GRID, INK, MUTED, canvas, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER = "#ffffff"
COLOURS = ("#0068a8", "#b85c00", "#00795c", "#9a3f7c", "#a11d33", "#3d3a9e", "#7a6a00", "#5b6770", "#1f1d1a")
"""As the report's, and five more; darkened until small text in them is readable on white."""
MARKERS = "os^Dvp*XP"
DARK = {
    PAPER: "#191816",
    INK: "#efeae1",
    MUTED: "#a8a297",
    GRID: "#3b3833",
    **dict(
        zip(
            COLOURS,
            ("#5db4ee", "#f0a253", "#4cc9a4", "#d78bbd", "#f0808f", "#a3a0f5", "#cdb94a", "#a9b5be", "#efeae1"),
            strict=True,
        )
    ),
}
"""What each colour becomes where the reader's page is dark."""
RASTER_DOTS = 160
TITLE_CHARACTERS = 50
"""Of one line above the axes, beside which names of values may stand."""
LABEL_CHARACTERS = 36
"""Of one line beside the y axis."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One curve of a trained model."""

    labels: Mapping[str, str]
    seed: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One figure in three formats."""

    svg: str
    png: bytes
    pdf: bytes


def draw(
    claim: Claim, size: Size, figure: FigureOptions, rows: Sequence[Row], curves: Mapping[str, Sequence[Curve]]
) -> Drawn:
    """The figure a claim file describes, from the numbers of its cells."""
    series, where = _series(claim, size, figure), resolve(figure.where, claim, size)
    rows = [row for row in rows if all(row.labels[axis] in labels for axis, labels in where.items())]
    height = 1.0 + 0.42 * len(series) if figure.kind == "dots" else 4.0
    with canvas(6.4, height) as (page, axes):
        axes.set_title(textwrap.fill(figure.title, TITLE_CHARACTERS))
        if figure.kind == "dots":
            _dots(axes, figure, series, rows)
        elif figure.kind == "lines":
            _lines(axes, claim, size, figure, series, rows)
        else:
            assert isinstance(figure.measure, str)  # curves have one measure
            _curves(axes, figure, series, curves[figure.measure])
        return _saved(page)


def _series(claim: Claim, size: Size, figure: FigureOptions) -> tuple[str, ...]:
    axis = claim.axis_named(figure.series or claim.axis[0].name)
    assert axis is not None  # the claim was checked
    return measured_labels(claim, axis, size)


def _numbers(rows: Sequence[Row], measure: str, **labels: str) -> list[float]:
    """The measure of every run with these labels; runs of one seed are averaged."""
    chosen = [row for row in rows if all(row.labels[axis] == label for axis, label in labels.items())]
    seeds = sorted({row.seed for row in chosen})
    return [float(np.mean([row.numbers[measure] for row in chosen if row.seed == seed])) for seed in seeds]


def _dots(axes: Axes, figure: FigureOptions, series: Sequence[str], rows: Sequence[Row]) -> None:
    assert isinstance(figure.measure, str)
    assert figure.series is not None
    measured = quantity(figure.measure)
    for place, label in enumerate(series):
        values = _numbers(rows, figure.measure, **{figure.series: label})
        interval = student_interval(values)
        colour = COLOURS[place % len(COLOURS)]
        axes.plot([interval.low, interval.high], [place, place], color=MUTED, linewidth=1.4)
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=5, alpha=0.55, markeredgewidth=0)
        axes.plot([interval.value], [place], "|", color=colour, markersize=15, markeredgewidth=2.4)
        axes.annotate(
            f"{interval.value:.{measured.digits}f}", (interval.value, place), xytext=(0, 9),
            textcoords="offset points", ha="center", fontsize=9, color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(series)), labels=list(series))
    axes.set_ylim(len(series) - 0.5, -0.6)
    axes.set_xlabel(measured.label)
    axes.grid(axis="y", visible=False)


def _lines(
    axes: Axes, claim: Claim, size: Size, figure: FigureOptions, series: Sequence[str], rows: Sequence[Row]
) -> None:
    assert figure.series is not None
    ends = []
    columns: list[tuple[str, dict[str, str], str]] = []
    if figure.x is None:
        names = (figure.measure,) if isinstance(figure.measure, str) else figure.measure
        columns = [(name.rpartition("_")[2].replace("x", " ×"), {}, name) for name in names]
        axes.set_xlabel("length read, in trained lengths")
    else:
        axis = claim.axis_named(figure.x)
        assert axis is not None
        assert isinstance(figure.measure, str)
        columns = [(label, {figure.x: label}, figure.measure) for label in claim.labels(axis, size)]
        axes.set_xlabel(axis.label)
    for place, label in enumerate(series):
        found = [_numbers(rows, name, **{figure.series: label}, **labels) for _, labels, name in columns]
        means = [float(np.mean(values)) for values in found]
        style = _style(place)
        axes.plot(range(len(columns)), means, **style, markersize=6)
        for at, values in enumerate(found):
            axes.plot([at] * len(values), values, "o", color=style["color"], markersize=3, alpha=0.5, markeredgewidth=0)
        ends.append((label, means[-1], str(style["color"])))
    axes.set_xticks(range(len(columns)), labels=[name for name, _, _ in columns])
    axes.set_xlim(-0.15, len(columns) - 0.85)
    axes.set_ylabel(_wrapped(quantity(columns[0][2]).label) if figure.x else "loss, nats a token")
    _label_ends(axes, ends)
    named = claim.axis_named(figure.series)
    assert named is not None
    axes.text(1.02, 1.03, named.label, color=MUTED, transform=axes.transAxes, fontsize=9)


def _curves(axes: Axes, figure: FigureOptions, series: Sequence[str], curves: Sequence[Curve]) -> None:
    assert figure.series is not None
    assert isinstance(figure.measure, str)
    ends = []
    for place, label in enumerate(series):
        chosen = [curve.points for curve in curves if curve.labels[figure.series] == label]
        mean = np.mean(np.asarray(chosen), axis=0)  # (points, 2)
        style = _style(place)
        axes.plot(mean[:, 0], mean[:, 1], color=style["color"], linestyle=style["linestyle"])
        ends.append((label, float(mean[-1, 1]), str(style["color"])))
    axes.set_xlabel("position in the window, tokens")
    axes.set_ylabel(_wrapped(quantity(figure.measure).label))
    _label_ends(axes, ends)


def _wrapped(label: str) -> str:
    return textwrap.fill(label, LABEL_CHARACTERS)


def _style(place: int) -> dict[str, Any]:
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def _label_ends(axes: Axes, ends: Sequence[tuple[str, float, str]]) -> None:
    """Names at the right end of each line, moved apart."""
    low, high = axes.get_ylim()
    heights = spread([value for _, value, _ in ends], (high - low) * 0.062, low, high)
    for (label, _, colour), height in zip(ends, heights, strict=True):
        name = textwrap.shorten(label, 28, placeholder="…")
        axes.text(1.02, height, name, color=colour, va="center", transform=axes.get_yaxis_transform(), fontsize=10)


def _saved(page: Figure) -> Drawn:
    """The figure in three formats, the same bytes for the same numbers."""
    streams = {kind: io.BytesIO() for kind in ("svg", "png", "pdf")}
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    page.savefig(streams["svg"], format="svg", facecolor=PAPER, metadata=nothing)
    page.savefig(streams["png"], format="png", facecolor=PAPER, dpi=RASTER_DOTS, metadata={"Software": None})
    page.savefig(streams["pdf"], format="pdf", facecolor=PAPER, metadata={"CreationDate": None, "Producer": None})
    return Drawn(
        svg=adaptive(streams["svg"].getvalue().decode()), png=streams["png"].getvalue(), pdf=streams["pdf"].getvalue()
    )


def adaptive(svg: str) -> str:
    """The SVG with every colour of ours as a variable that follows the reader's light or dark page."""
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    for number, colour in enumerate(DARK):
        svg = svg.replace(colour, f"var(--c{number}, {colour})")
    dark = "; ".join(f"--c{number}: {colour}" for number, colour in enumerate(DARK.values()))
    style = f"<style>@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}</style>"
    return re.sub(r"(<svg\b[^>]*>)", lambda match: f"{match[1]}\n {style}", svg, count=1, flags=re.DOTALL)
