"""Pictures of what a transformer looks at and says on the way, each as PNG and SVG with its numbers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fourfold.errors import UserError
from fourfold.files import atomic_file, write_text
from fourfold.models.inspection import Lens, Reading, visible, visible_across
from fourfold.workflow.report.plotting import GRID, INK, MUTED, can_plot, canvas, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

MASK_TOKENS = 12
PAST, AHEAD, SOURCE = "#0068a8", "#5db4ee", "#b85c00"
"""A token before or the same; one that comes later; one of the source, seen by the target."""
SHADES = ("#ffffff", "#9cc7e3", "#0068a8", "#00253d")
LABELLED_LAYERS = 6
RASTER_DOTS = 160
WIDE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei", "WenQuanYi Zen Hei")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture and its numbers."""

    name: str
    svg: str
    png: bytes
    header: tuple[str, ...]
    lines: list[tuple[object, ...]]


def save(picture: Picture, folder: Path) -> list[Path]:
    """Write NAME.png, NAME.svg and NAME.csv."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(picture.header)
    writer.writerows(picture.lines)
    paths = [folder / f"{picture.name}.{ending}" for ending in ("png", "svg", "csv")]
    with atomic_file(paths[0]) as raster:
        raster.write(picture.png)
    write_text(paths[1], picture.svg)
    write_text(paths[2], stream.getvalue())
    return paths


@contextmanager
def wide_canvas(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A canvas whose texts may be Chinese, Japanese or Korean where a font for them is installed."""
    import matplotlib
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in WIDE_FONTS if name in installed)]
    with matplotlib.rc_context({"font.family": families}), canvas(width, height) as page:
        yield page


def require_plots() -> None:
    """Refuse before the work starts where matplotlib is missing."""
    if not can_plot():
        raise UserError("pictures need matplotlib", advice="pip install 'fourfold[quickstart]'")


# ---- masks


def draw_masks() -> Picture:
    """The three architectures, a sliding window and packed documents, as attention is given them."""
    half = MASK_TOKENS // 2
    panels = {
        "causal decoder": _shades(visible("causal", MASK_TOKENS)),
        "prefix decoder": _shades(visible("prefix", MASK_TOKENS, prefix=half)),
        "encoder-decoder": _shades(visible_across(half, MASK_TOKENS - half), source=half),
        "encoder": _shades(visible("bidirectional", MASK_TOKENS)),
        "sliding window of 4": _shades(visible("causal", MASK_TOKENS, window=4)),
        "packed documents": _shades(visible("causal", MASK_TOKENS, documents=(5, 4, 3))),
    }
    with wide_canvas(9.4, 7.1) as (figure, _):
        figure.clear()
        for place, (title, cells) in zip(figure.subplots(2, 3).flat, panels.items(), strict=True):
            _mask(place, cells, title)
        _legend(figure)
        lines = [
            (title, row + 1, column + 1, int(cells[row, column] > 0))
            for title, cells in panels.items()
            for row in range(MASK_TOKENS)
            for column in range(MASK_TOKENS)
        ]
        return _picture("masks", figure, ("mask", "token", "looks_at", "sees"), lines)


def _shades(seen: Tensor, source: int = 0) -> np.ndarray[Any, Any]:
    """0 not seen, 1 the past, 2 what comes later, 3 the source from the target."""
    cells: np.ndarray[Any, Any] = np.where(np.triu(np.ones(seen.shape), 1) > 0, 2, 1) * seen.numpy()
    if source:
        cells[source:, :source] = 3
    return cells


def _mask(axes: Axes, cells: np.ndarray[Any, Any], title: str) -> None:
    from matplotlib.colors import ListedColormap

    axes.imshow(cells, cmap=ListedColormap([GRID, PAST, AHEAD, SOURCE]), vmin=0, vmax=3)
    size = len(cells)
    axes.set_xticks(np.arange(-0.5, size), minor=True)
    axes.set_yticks(np.arange(-0.5, size), minor=True)
    axes.grid(visible=False)
    axes.grid(visible=True, which="minor", color="#ffffff", linewidth=1.4)
    axes.tick_params(which="both", length=0, labelsize=8)
    axes.set_xticks([0, size - 1], ["1", str(size)])
    axes.set_yticks([0, size - 1], ["1", str(size)])
    axes.set_title(title, fontsize=11, pad=6)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    colours = {"sees: the past": PAST, "what comes later": AHEAD, "the source": SOURCE, "does not see": GRID}
    figure.legend(
        handles=[Patch(color=colour, label=label) for label, colour in colours.items()],
        loc="outside lower center", ncols=4, frameon=False, fontsize=10,
        title="rows look, columns are looked at", title_fontsize=10,
    )  # fmt: skip


# ---- a prompt


def draw_reading(reading: Reading, tokens: Sequence[str], says: Sequence[Sequence[str]] | None) -> list[Picture]:
    """Attention of all heads, attention with tokens, and the lens; `says` are the lens's tokens as text."""
    pictures = [draw_heads(reading, tokens), draw_attention(reading, tokens)]
    if reading.lens is not None and says is not None:
        pictures.append(draw_lens(reading.lens, tokens, says))
    return pictures


def draw_heads(reading: Reading, tokens: Sequence[str]) -> Picture:
    """Every head of every layer as a small map; darker is more, on a square-root scale."""
    weights = reading.attention.numpy()
    layers, heads, size, _ = weights.shape
    step = size + max(1, size // 8)
    board = np.full((layers * step, heads * step), np.nan)
    for layer in range(layers):
        for head in range(heads):
            board[layer * step : layer * step + size, head * step : head * step + size] = weights[layer, head]
    cell = min(0.62, max(0.3, 9.0 / heads))
    with wide_canvas(heads * cell + 1.4, layers * cell + 1.5) as (figure, axes):
        _shaded(axes, board)
        every = max(1, round(0.28 / cell))
        middle = np.arange(max(layers, heads)) * step + (size - 1) / 2
        axes.set_xticks(middle[:heads:every], [str(head + 1) for head in range(0, heads, every)])
        axes.set_yticks(middle[:layers:every], [str(layer + 1) for layer in range(0, layers, every)])
        axes.set_xlabel("head")
        axes.set_ylabel("layer")
        axes.set_title("Where each head looks (shade: square root of the weight)", fontsize=11)
        lines = [
            (layer + 1, head + 1, row + 1, tokens[row], column + 1, tokens[column],
             f"{weights[layer, head, row, column]:.6g}")
            for layer in range(layers) for head in range(heads) for row in range(size) for column in range(size)
            if weights[layer, head, row, column] > 0
        ]  # fmt: skip
        header = ("layer", "head", "position", "token", "looks_at_position", "looks_at_token", "weight")
        return _picture("attention-heads", figure, header, lines)


def draw_attention(reading: Reading, tokens: Sequence[str]) -> Picture:
    """The mean over heads in up to six layers, with the tokens written out."""
    means = reading.attention.mean(dim=1).numpy()
    size = len(tokens)
    chosen = sorted({round(place) for place in np.linspace(0, len(means) - 1, min(LABELLED_LAYERS, len(means)))})
    columns = min(3, len(chosen))
    deep = -(-len(chosen) // columns)
    side = max(2.6, 0.24 * size + 1.0)
    with wide_canvas(side * columns, side * deep) as (figure, _):
        figure.clear()
        places = np.atleast_1d(figure.subplots(deep, columns)).ravel()
        for place, layer in zip(places, chosen, strict=False):
            _shaded(place, means[layer])
            place.set_title(f"layer {layer + 1}", fontsize=11, pad=6)
            place.set_xticks(range(size), [shown(token) for token in tokens], rotation=90, fontsize=8)
            place.set_yticks(range(size), [shown(token) for token in tokens], fontsize=8)
        for place in places[len(chosen) :]:
            place.remove()
        figure.suptitle("Where the heads look, on average (shade: square root of the weight)", fontsize=11)
        lines = [
            (layer + 1, row + 1, tokens[row], column + 1, tokens[column], f"{means[layer, row, column]:.6g}")
            for layer in range(len(means)) for row in range(size) for column in range(size)
            if means[layer, row, column] > 0
        ]  # fmt: skip
        header = ("layer", "position", "token", "looks_at_position", "looks_at_token", "mean_weight")
        return _picture("attention", figure, header, lines)


def draw_lens(lens: Lens, tokens: Sequence[str], says: Sequence[Sequence[str]]) -> Picture:
    """What each layer would say after each token; darker is surer."""
    sure = lens.probabilities.numpy()
    depth, size = sure.shape
    with wide_canvas(0.92 * size + 1.6, 0.27 * depth + 1.6) as (figure, axes):
        axes.imshow(sure, cmap=_colours(), vmin=0, vmax=1, aspect="auto", origin="lower")
        for row in range(depth):
            for column in range(size):
                ink = INK if sure[row, column] < 0.55 else "#ffffff"
                axes.text(column, row, shown(says[row][column]), ha="center", va="center", fontsize=8, color=ink)
        axes.set_xticks(range(size), [shown(token) for token in tokens], fontsize=9)
        axes.set_yticks(range(depth), ["embedding", *(str(layer) for layer in range(1, depth))], fontsize=8)
        axes.set_xlabel("after the token")
        axes.set_ylabel("after the layer")
        axes.set_title("Logit lens: the most probable token, darker is surer", fontsize=11)
        axes.grid(visible=False)
        lines = [
            (row, column + 1, tokens[column], says[row][column], f"{sure[row, column]:.6g}",
             int(lens.ranks[row, column]) + 1 or "", f"{float(lens.entropies[row, column]):.6g}")
            for row in range(depth) for column in range(size)
        ]  # fmt: skip
        header = ("layer", "position", "token", "says", "probability", "rank_of_next_token", "entropy_nats")
        return _picture("logit-lens", figure, header, lines)


def shown(token: str) -> str:
    """A token as a picture shows it: spaces and line ends visible, long ones cut."""
    text = token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return text if len(text) <= 10 else f"{text[:9]}…"


def _shaded(axes: Axes, weights: np.ndarray[Any, Any]) -> None:
    axes.imshow(np.sqrt(weights), cmap=_colours(), vmin=0, vmax=1, interpolation="nearest")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_edgecolor(MUTED)


def _colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("ink", SHADES).with_extremes(bad=GRID)


def _picture(name: str, figure: Figure, header: tuple[str, ...], lines: Iterable[tuple[object, ...]]) -> Picture:
    raster = io.BytesIO()
    figure.savefig(raster, format="png", dpi=RASTER_DOTS, facecolor="#ffffff", metadata={"Software": None})
    return Picture(name=name, svg=to_svg(figure), png=raster.getvalue(), header=header, lines=list(lines))
