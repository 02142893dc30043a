"""Two figures of rows: bits per byte on train against held-out text, and rates with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fourfold.workflow.report.evaluations import Block
from fourfold.workflow.report.figures import Cell, FigureData, Panel, file_stem, label_of
from fourfold.workflow.report.language import Language, words, words_or
from fourfold.workflow.report.loading import Run
from fourfold.workflow.report.plotting import GENERATION_COLOURS, INK, MUTED, canvas, to_svg
from fourfold.workflow.report.records import EvaluationRow, ScoreRow


def train_and_held_out(run: Run) -> FigureData:
    """One panel a group of text; two bars a model where its train text was scored too."""
    groups = list(dict.fromkeys(row.group for row in run.scores))
    panels = []
    for group in groups:
        rows = [row for row in run.scores if row.group == group]
        summary = ", ".join(f"{row.label} {row.split} {row.bits_per_byte:.2f}" for row in rows)
        description = words("alt_held_out", group=words_or(f"group_{group}", group), models=summary)
        panels.append(
            Panel(name=file_stem("held_out", group), description=description, draw=_Bars(group=group, rows=tuple(rows)))
        )
    return FigureData(
        name="held_out",
        header=("label", "sample", "split", "bits_per_byte", "low", "high", "bits_per_character"),
        rows=tuple(
            (row.label, row.group, row.split, row.bits_per_byte, row.low, row.high, row.bits_per_character)
            for row in run.scores
        ),
        sources=tuple(dict.fromkeys(row.source for row in run.scores)),
        panels=tuple(panels),
    )


def rates(name: str, blocks: Sequence[Block]) -> FigureData:
    """One panel a task: every model's rate with interval and chance line."""
    blocks = [block for block in blocks if block.main]
    panels = []
    for block in blocks:
        summary = ", ".join(f"{row.label} {100 * row.value:.0f} %" for row in block.rows)
        description = words("alt_tuning", task=block.name, models=summary)
        stem = file_stem(name, block.stage.partition(".")[2], block.task)
        panels.append(Panel(name=stem, description=description, draw=_Dots(block=block)))
    return FigureData(
        name=name,
        header=("stage", "label", "task", "solver", "metric", "value", "low", "high", "n", "chance", "detectable"),
        rows=tuple((block.stage, *_numbers(row)) for block in blocks for row in block.rows),
        sources=tuple(dict.fromkeys(block.source for block in blocks)),
        panels=tuple(panels),
    )


def _numbers(row: EvaluationRow) -> tuple[Cell, ...]:
    rate = (row.value, row.low, row.high, row.n, row.chance, row.detectable)
    return (row.label, row.task, row.solver, row.metric, *rate)


@dataclass(frozen=True, kw_only=True)
class _Bars:
    group: str
    rows: tuple[ScoreRow, ...]

    def __call__(self, language: Language) -> str:
        labels = {row.model: label_of(row.label) for row in self.rows}
        models = list(labels)
        with canvas(5.4, 0.9 + 0.62 * len(models)) as (figure, axes):
            axes.set_title(words_or(f"group_{self.group}", label_of(self.group)).of(language))
            for row in self.rows:
                held_out = row.split != "train"
                place = models.index(row.model) + (-0.17 if held_out else 0.17)
                colour = GENERATION_COLOURS.get(row.generation, INK)
                alpha = 1 if held_out else 0.4
                axes.barh(place, row.bits_per_byte, height=0.3, color=colour, alpha=alpha, linewidth=0)
                if row.low is not None and row.high is not None:
                    axes.plot([row.low, row.high], [place, place], color=INK, linewidth=1)
                end = max(row.bits_per_byte, row.high or 0)
                name = words("held_out" if held_out else "train_text").of(language)
                axes.annotate(
                    f"{row.bits_per_byte:.2f}  {name}",
                    (end, place),
                    xytext=(5, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=9,
                    color=INK if held_out else MUTED,
                )
            axes.set_yticks(range(len(models)), labels=list(labels.values()))
            axes.set_ylim(len(models) - 0.5, -0.5)
            axes.set_xlim(0, 1.3 * max(max(row.bits_per_byte, row.high or 0) for row in self.rows))
            axes.set_xlabel(words("axis_bits").of(language))
            axes.grid(axis="y", visible=False)
            return to_svg(figure)


@dataclass(frozen=True, kw_only=True)
class _Dots:
    block: Block

    def __call__(self, language: Language) -> str:
        block, rows = self.block, self.block.rows
        with canvas(5.4, 1.0 + 0.38 * len(rows)) as (figure, axes):
            axes.set_title(block.name.of(language), pad=20)
            for place, row in enumerate(rows):
                if row.low is not None and row.high is not None:
                    axes.plot([100 * row.low, 100 * row.high], [place, place], color=INK, linewidth=1.4)
                is_base = row.model == block.base and (block.is_tuning or block.is_finetuning)
                colour = MUTED if is_base else GENERATION_COLOURS["pre-trained"]
                axes.plot([100 * row.value], [place], "o", color=colour, markersize=7)
            chance = next((row.chance for row in rows if row.chance is not None), None)
            if chance is not None:
                axes.axvline(100 * chance, color=MUTED, linestyle=(0, (2, 2)), linewidth=1.2)
                axes.annotate(
                    words("chance").of(language),
                    (100 * chance, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(4, 2),
                    textcoords="offset points",
                    fontsize=9,
                    color=MUTED,
                )
            axes.set_yticks(range(len(rows)), labels=[label_of(row.label) for row in rows])
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.set_xlim(-3, 103)
            axes.set_xticks([0, 25, 50, 75, 100], labels=["0", "25", "50", "75", "100 %"])
            axes.grid(axis="y", visible=False)
            return to_svg(figure)
