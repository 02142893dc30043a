"""The forest plot of a comparison: one row a task, its difference with interval, zero in the middle."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fourfold.evaluation import amount
from fourfold.workflow.report.plotting import GENERATION_COLOURS, INK, MUTED, canvas, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "PingFang SC", "Microsoft YaHei", "SimHei")
"""Those that are installed are tried for each character: a picture of pixels cannot ask the reader's browser."""
COLOURS = {"better": GENERATION_COLOURS["neural"], "worse": GENERATION_COLOURS["statistical"]}
DOTS = 160
LONGEST = 34


class Forest(NamedTuple):
    """One picture in two formats."""

    svg: str
    png: bytes


def draw_forest(rows: Sequence[Mapping[str, Any]], label_a: str, label_b: str) -> Forest | None:
    """Rows whose scores are shares, in points; None if there are none (other units share no axis)."""
    shown = [row for row in rows if row["in_points"]]
    if not shown:
        return None
    with canvas(7.2, 1.3 + 0.44 * len(shown)) as (figure, axes):
        for place, row in enumerate(shown):
            colour = COLOURS.get(row["verdict"], MUTED)
            low, high, value = (100 * (row[name] or 0.0) for name in ("low", "high", "difference"))
            axes.plot([low, high], [place, place], color=colour, linewidth=1.8, solid_capstyle="butt")
            axes.plot([value], [place], "s", color=colour, markersize=4 + 2 * min(4.0, row["n"] / 250))
            if row["detectable"] is not None and row["detectable"] < 1:
                for side in (-100, 100):
                    axes.plot([side * row["detectable"]], [place], "|", color=MUTED, markersize=9, alpha=0.7)
            clean = row.get("clean")
            if clean:
                axes.plot([100 * clean["difference"]], [place + 0.22], "s", mfc="none", color=colour, markersize=5)
            axes.annotate(
                amount(row["difference"], row, unit=False), (1, place), xycoords=("axes fraction", "data"),
                xytext=(8, 0), textcoords="offset points", va="center", fontsize=9.5,
                color=INK if row["verdict"] in COLOURS else MUTED,
            )  # fmt: skip
        axes.axvline(0, color=INK, linewidth=0.9)
        names = [f"{row['task'][:LONGEST]}  n={row['n']}" for row in shown]
        axes.set_yticks(range(len(shown)), labels=names)
        axes.set_ylim(len(shown) - 0.5, -0.6)
        span = 1.08 * max(abs(limit) for limit in axes.get_xlim())
        axes.set_xlim(-span, span)
        axes.set_xlabel(f"← {label_a[:LONGEST]} better · points · {label_b[:LONGEST]} better →")
        axes.grid(axis="y", visible=False)
        set_fonts(figure)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=DOTS, facecolor="white")
        return Forest(to_svg(figure), stream.getvalue())


def set_fonts(figure: Figure) -> None:
    """Let every text of the figure fall back to a font with its characters."""
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    known = set(fontManager.get_font_names())
    for text in figure.findobj(Text):
        text.set_fontfamily([name for name in FONTS if name in known])
