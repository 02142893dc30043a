"""The gradient noise scale of every training that measured it, beside the tokens its steps read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from fourfold.workflow.report.figures import FigureData, Panel, file_stem, label_of
from fourfold.workflow.report.formatting import short_count
from fourfold.workflow.report.language import Language, words
from fourfold.workflow.report.loading import Run
from fourfold.workflow.report.plotting import INK, MUTED, canvas, to_svg
from fourfold.workflow.report.records import CurvePoint, Stage

Point = tuple[float, float]


def noise_scales(run: Run) -> FigureData:
    """A panel a stage: what the batch could be, and what it is (McCandlish et al. 2018, section 2.2)."""
    stages = [stage for stage in run.of_kind("pretrain") if any(point.noise is not None for point in stage.curve)]
    return FigureData(
        name="noise",
        header=("stage", "step", "noise_scale_tokens", "tokens_a_step"),
        rows=tuple(
            (stage.key, point.step, point.noise, read)
            for stage in stages
            for point, read in zip(stage.curve, _tokens_a_step(stage.curve), strict=True)
        ),
        sources=tuple(f"{stage.key}/curve.jsonl" for stage in stages),
        panels=tuple(_panel(stage) for stage in stages),
    )


def _panel(stage: Stage) -> Panel:
    noises = tuple((point.step, point.noise) for point in stage.curve if point.noise is not None)
    steps = (point.step for point in stage.curve)
    read = tuple((step, size) for step, size in zip(steps, _tokens_a_step(stage.curve), strict=True) if size)
    return Panel(
        name=file_stem("noise", stage.kind, stage.name),
        description=words(
            "alt_noise",
            stage=stage.label,
            last=short_count(noises[-1][1]),
            read=short_count(read[-1][1] if read else None),
        ),
        draw=_Noise(label=stage.label, noises=noises, read=read),
    )


def _tokens_a_step(curve: tuple[CurvePoint, ...]) -> list[float | None]:
    """The mean since the point before; a batch that grows has more of them later."""
    read: list[float | None] = []
    for before, point in pairwise([CurvePoint(step=0, seconds=0, bits_per_byte={}, tokens=0), *curve]):
        steps = point.step - before.step
        known = point.tokens is not None and before.tokens is not None and steps > 0
        read.append((point.tokens - before.tokens) / steps if known else None)  # type: ignore[operator]  # just asked
    return read


@dataclass(frozen=True, kw_only=True)
class _Noise:
    label: str
    noises: tuple[Point, ...]
    read: tuple[Point, ...]

    def __call__(self, language: Language) -> str:
        with canvas(3.6, 2.4) as (figure, axes):
            axes.set_title(label_of(self.label))
            axes.set_xlabel(words("axis_step").of(language))
            axes.set_ylabel(words("axis_tokens").of(language))
            lines = ((self.noises, INK, "noise_scale", "-o"), (self.read, MUTED, "tokens_a_step", "--"))
            for points, colour, name, style in lines:
                if points:
                    steps, values = zip(*points, strict=True)
                    axes.plot(steps, values, style, color=colour, markersize=3.5, label=words(name).of(language))
            axes.set_yscale("log")
            low, high = (math.log10(limit) for limit in axes.get_ylim())
            ticks = [10**power for power in range(math.floor(low), math.ceil(high) + 1)]
            axes.set_yticks(ticks, labels=[short_count(tick) for tick in ticks])
            axes.set_ylim(ticks[0], ticks[-1])
            axes.minorticks_off()
            axes.legend(frameon=False, fontsize=9, loc="best")
            axes.grid(axis="x", visible=False)
            return to_svg(figure)
