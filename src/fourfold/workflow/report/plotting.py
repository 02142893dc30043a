"""Matplotlib set up once: quiet axes, text kept as text, colours the page can change.

A figure is drawn in the light palette. `themed` turns its SVG into one that may
stand inside a page: each palette colour becomes a CSS variable with the light
colour as fallback, identifiers get a prefix, and text takes the page's font.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

INK, MUTED, GRID = "#1f1d1a", "#6f6a62", "#e4dfd6"
# Okabe and Ito's colour-blind-safe set, darkened until small text in it is readable on white.
GENERATION_COLOURS = {
    "statistical": "#b85c00",
    "neural": "#00795c",
    "pre-trained": "#0068a8",
    "large": "#9a3f7c",
}
MARKERS = {"statistical": "o", "neural": "s", "pre-trained": "^", "large": "D"}
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--rule",
    **{colour: f"--{name}" for name, colour in GENERATION_COLOURS.items()},
}
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_RC: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fourfold",
    "svg.id": None,
    "text.parse_math": False,  # a model's name may hold a dollar sign
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.visible": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


def can_plot() -> bool:
    """Whether matplotlib is installed (the extra `quickstart`)."""
    return find_spec("matplotlib") is not None


@contextmanager
def canvas(width: float = 5.4, height: float = 3.6) -> Iterator[tuple[Figure, Axes]]:
    """A figure and its axes under the house style; inches of 72 units in the SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # Text stays text, so the reader's browser has the glyphs that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def to_svg(figure: Figure) -> str:
    """The figure as SVG, the same bytes for the same figure."""
    stream = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    return re.sub(r"<!--.*?-->\n?", "", stream.getvalue(), flags=re.DOTALL)


def themed(svg: str, prefix: str, label: str) -> str:
    """The SVG made fit for embedding, with an accessible name."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(svg)
    for child in list(root):
        if child.tag == f"{{{_SVG}}}metadata":
            root.remove(child)
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                element.set(name, f"{prefix}-{value}")
            elif name == f"{{{_LINK}}}href":
                del element.attrib[name]
                element.set("href", value.replace("#", f"#{prefix}-", 1))
            else:
                element.set(name, _themed_style(value.replace("url(#", f"url(#{prefix}-")))
        if element.tag == f"{{{_SVG}}}style":
            element.text = ""
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    return ElementTree.tostring(root, encoding="unicode")


def _themed_style(style: str) -> str:
    for colour, variable in VARIABLES.items():
        style = style.replace(colour, f"var({variable}, {colour})")
    return re.sub(r"font-family:[^;]*;?|(?<=px )'[^;]*(?=;|$)", "", style)


def spread(positions: list[float], gap: float, low: float, high: float) -> list[float]:
    """The positions moved apart to at least `gap`, in order and inside [low, high] while there is room."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    placed = list(positions)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + gap)
    if order:
        placed[order[-1]] = min(placed[order[-1]], high)
    for before, after in reversed(list(pairwise(order))):
        placed[before] = max(min(placed[before], placed[after] - gap), low)
    return placed
