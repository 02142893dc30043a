"""The rows of every table in the report, as values a template can print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fourfold.workflow.report.evaluations import Block, comparison, first_samples, solver_name
from fourfold.workflow.report.formatting import (
    ABSENT,
    duration,
    fixed,
    interval,
    percent,
    percent_interval,
    points,
    size,
)
from fourfold.workflow.report.language import Text, words, words_or
from fourfold.workflow.report.loading import Run
from fourfold.workflow.report.reading import number
from fourfold.workflow.report.records import EvaluationRow, Sample

MOST_CHARACTERS = 700


@dataclass(frozen=True, kw_only=True)
class ScoreLine:
    """One model on one group of held-out text."""

    label: str
    generation: str
    group: Text
    bits_per_byte: str
    interval: str
    bits_per_character: str
    on_train: str
    trained: Text
    best: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class EvaluationLine:
    """One model on one task."""

    label: str
    task: Text
    opens: bool
    solver: Text
    value: str
    interval: str
    n: int
    chance: str
    change: Text
    detectable: str
    lower_is_better: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class SampleCard:
    """One answer as the model gave it, right or wrong."""

    label: str
    task: Text
    good: bool
    prompt: str
    output: str
    target: str
    source: str


@dataclass(frozen=True, kw_only=True)
class StageLine:
    key: str
    state: str
    duration: Text
    share: float
    memory: str
    link: str


def score_lines(run: Run) -> list[ScoreLine]:
    held_out = [row for row in run.scores if row.split != "train"]
    train = {(row.model, row.group): row.bits_per_byte for row in run.scores if row.split == "train"}
    lines = []
    order = list(dict.fromkeys(row.group for row in held_out))
    for row in sorted(held_out, key=lambda row: order.index(row.group)):
        stage = run.stage(row.model)
        trained = number(stage.card.get("seconds_trained")) if stage else None
        lines.append(
            ScoreLine(
                label=row.label,
                generation=row.generation,
                group=words_or(f"group_{row.group}", row.group),
                bits_per_byte=fixed(row.bits_per_byte, 3),
                interval=interval(row.low, row.high, 3),
                bits_per_character=fixed(row.bits_per_character, 3),
                on_train=fixed(train.get((row.model, row.group)), 3),
                trained=duration(trained) if stage else words("not_here"),
                best=row.bits_per_byte == min(r.bits_per_byte for r in held_out if r.group == row.group),
                source=row.source,
            )
        )
    return lines


def evaluation_lines(run: Run, blocks: Iterable[Block]) -> list[EvaluationLine]:
    """Every model of every block, with its paired change from the block's base."""
    lines = []
    for block in blocks:
        for row in block.rows:
            lines.append(
                EvaluationLine(
                    label=row.label,
                    task=block.name,
                    opens=row is block.rows[0],
                    solver=solver_name(row.solver),
                    value=percent(row.value),
                    interval=percent_interval(row.low, row.high),
                    n=row.n,
                    chance=percent(row.chance),
                    change=_change(run, block, row),
                    detectable=ABSENT if row.detectable is None else f"±{100 * row.detectable:.0f}",
                    lower_is_better=not row.higher_is_better,
                    source=row.source,
                )
            )
    return lines


def sample_groups(run: Run) -> list[tuple[Text, list[SampleCard]]]:
    """The chosen answers, task by task, right before wrong."""
    groups: dict[tuple[str, str], list[SampleCard]] = {}
    for block, sample in first_samples(run):
        row = block.row(sample.model)
        groups.setdefault((block.source, block.task), []).append(_sample_card(row.label if row else "", sample, block))
    for cards in groups.values():
        labels = list(dict.fromkeys(card.label for card in cards))
        cards.sort(key=lambda card: (labels.index(card.label), not card.good))
    return [(cards[0].task, cards) for cards in groups.values()]


def stage_lines(run: Run) -> list[StageLine]:
    longest = max((stage.seconds or 0 for stage in run.stages), default=0) or 1
    return [
        StageLine(
            key=stage.key,
            state=stage.state,
            duration=duration(stage.seconds),
            share=(stage.seconds or 0) / longest,
            memory=size(stage.peak_memory_bytes),
            link=f"{stage.key}/done.json" if stage.state == "done" else "",
        )
        for stage in run.stages
    ]


def file_lines(run: Run, figures: Iterable[str]) -> list[tuple[str, str]]:
    """(path inside the run, size): the run's own files and those at the top of every stage."""
    paths = [path for path in run.folder.iterdir() if path.is_file()]
    for stage in run.stages:
        place = run.folder / stage.key
        paths += [path for path in place.iterdir() if path.is_file()] if place.is_dir() else []
        paths += [path for path in place.glob("*/*.safetensors") if path.is_file()]
    paths += [run.folder / name for name in figures]
    names = {path.relative_to(run.folder).as_posix(): path.stat().st_size for path in paths}
    hidden = ("report.html", ".")
    return [(name, size(names[name])) for name in sorted(names) if not name.startswith(hidden) and "/." not in name]


def _change(run: Run, block: Block, row: EvaluationRow) -> Text:
    if row.model == block.base:
        compared = any(comparison(run, block, other.model) for other in block.rows)
        return words("baseline") if block.is_tuning else words("reference") if compared else Text(ABSENT, ABSENT)
    found = comparison(run, block, row.model)
    if found is None:
        return Text(ABSENT, ABSENT)
    change = points(found.difference)
    if found.low is None or found.high is None:
        return Text(change, change)
    key = "change_unclear" if found.low <= 0 <= found.high else "change_clear"
    return words(key, change=change, low=points(found.low), high=points(found.high))


def _sample_card(label: str, sample: Sample, block: Block) -> SampleCard:
    return SampleCard(
        label=label,
        task=block.name,
        good=sample.right,
        prompt=shortened(sample.prompt),
        output=shortened(sample.output),
        target=shortened(sample.target),
        source=sample.source,
    )


def shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + " …"
