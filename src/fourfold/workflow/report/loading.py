"""A run folder as a typed value; partial runs load as far as they came."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fourfold.errors import UserError
from fourfold.workflow.manifest import FAILED
from fourfold.workflow.report.reading import mapping, number, read_lines, read_object, records, text
from fourfold.workflow.report.records import Comparison, CurvePoint, EvaluationRow, Opening, Sample, ScoreRow, Stage

R = TypeVar("R")
KINDS = ("corpus", "tokenizer", "pretrain", "finetune", "data", "tune", "score", "generate", "evaluate")


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything the report shows, and nothing it computes."""

    folder: Path
    name: str
    recipe: Mapping[str, Any]
    manifest: Mapping[str, Any]
    stages: tuple[Stage, ...]
    scores: tuple[ScoreRow, ...]
    openings: tuple[Opening, ...]
    evaluations: tuple[EvaluationRow, ...]
    comparisons: tuple[Comparison, ...]
    samples: tuple[Sample, ...]

    def of_kind(self, *kinds: str) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.stages if stage.kind in kinds)

    def stage(self, key: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.key == key), None)

    def section(self, stage: Stage) -> Mapping[str, Any]:
        """The stage's section of the recipe."""
        return mapping(mapping(self.recipe.get(stage.kind)).get(stage.name))

    def label(self, model: str) -> str:
        """The name a model goes by in every table and figure."""
        labels = [(row.model, row.label) for row in self.evaluations] + [(row.model, row.label) for row in self.scores]
        for name, label in labels:
            if name == model != label:
                return label
        stage = self.stage(model)
        return stage.label if stage else model

    @property
    def missing(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in self.stages if stage.state != "done")

    @property
    def failure(self) -> str | None:
        """What ended the last sitting, if something did."""
        sittings = records(self.manifest.get("sittings"))
        outcome = text(sittings[-1].get("outcome")) if sittings else ""
        return outcome.removeprefix(FAILED) if outcome.startswith(FAILED) else None


def load_run(folder: Path) -> Run:
    """Read a run folder; a folder that holds no run is a `UserError`."""
    if not folder.is_dir():
        raise UserError("no such run folder", where=folder, advice="`fourfold runs list` shows the runs there are.")
    recipe = _read_recipe(folder / "recipe.toml")
    stages = tuple(_load_stage(folder, kind, name) for kind, name in _stage_names(folder, recipe))
    if not stages:
        raise UserError(
            "no run in this folder", where=folder, expected="recipe.toml or stage folders such as corpus.text"
        )
    return Run(
        folder=folder,
        name=text(recipe.get("name")) or folder.resolve().name,
        recipe=recipe,
        manifest=read_object(folder / "manifest.json"),
        stages=stages,
        scores=tuple(_rows(folder, stages, ("score",), "rows", ScoreRow.read)),
        openings=tuple(_rows(folder, stages, ("generate",), "openings", Opening.read)),
        evaluations=tuple(_rows(folder, stages, ("finetune", "evaluate"), "rows", EvaluationRow.read)),
        comparisons=tuple(_rows(folder, stages, ("finetune", "evaluate"), "comparisons", Comparison.read)),
        samples=tuple(
            Sample.read(row, f"{stage.key}/samples.jsonl")
            for stage in stages
            if stage.kind == "evaluate"
            for row in read_lines(folder / stage.key / "samples.jsonl")
        ),
    )


def _read_recipe(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _stage_names(folder: Path, recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The recipe's stages in its order, then folders the recipe does not name."""
    names = [
        (kind, name)
        for kind, sections in recipe.items()
        if kind in KINDS and isinstance(sections, Mapping)
        for name, section in sections.items()
        if isinstance(section, Mapping)
    ]
    on_disk = sorted(
        (kind, name)
        for kind, dot, name in (path.name.partition(".") for path in folder.iterdir() if path.is_dir())
        if dot and kind in KINDS
    )
    names += [pair for pair in on_disk if pair not in names]
    return sorted(names, key=lambda pair: KINDS.index(pair[0]))


def _load_stage(folder: Path, kind: str, name: str) -> Stage:
    place = folder / f"{kind}.{name}"
    done, card = read_object(place / "done.json"), read_object(place / "card.json")
    state = "done" if done else "partial" if place.is_dir() and any(place.iterdir()) else "missing"
    warnings = [*_listed(card.get("warnings")), *_listed(done.get("warnings"))]
    return Stage(
        kind=kind,
        name=name,
        state=state,
        seconds=number(done.get("seconds")),
        peak_memory_bytes=number(done.get("peak_memory_bytes")),
        card=card,
        warnings=tuple(dict.fromkeys(warnings)),
        curve=tuple(CurvePoint.read(row) for row in read_lines(place / "curve.jsonl")),
        losses=tuple(_losses(read_lines(place / "metrics.jsonl"))),
    )


def _listed(value: object) -> list[str]:
    return [text(item) for item in value] if isinstance(value, list) else []


def _losses(rows: list[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """(step, loss); a resumed run may repeat steps, the later one counts."""
    points: dict[float, float] = {}
    for row in rows:
        losses = mapping(row.get("losses"))
        step, loss = number(row.get("step")), number(row.get("loss", next(iter(losses.values()), None)))
        if step is not None and loss is not None:
            points[step] = loss
    return sorted(points.items())


def _rows(
    folder: Path,
    stages: tuple[Stage, ...],
    kinds: tuple[str, ...],
    key: str,
    read: Callable[[Mapping[str, Any], str], R | None],
) -> list[R]:
    found: list[R] = []
    for stage in stages:
        if stage.kind in kinds:
            source = f"{stage.key}/results.json"
            rows = records(read_object(folder / source).get(key))
            found += [item for item in (read(row, source) for row in rows) if item is not None]
    return found
