"""The typed rows a report is made of, read tolerantly from a run's JSON.

A run may be half done or written by another version, so a missing field has a
neutral value here and nothing above this file looks into raw JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fourfold.errors import UserError
from fourfold.resources import ModelCard, model_card
from fourfold.workflow.report.reading import mapping, number, records, text

GENERATIONS = ("statistical", "neural", "pre-trained", "large")
_FAMILY_GENERATION = {"ngram": "statistical", "lstm": "neural", "rnn": "neural", "gru": "neural"}


def published_card(model: str) -> ModelCard | None:
    """What the catalogue knows of a model that no stage made."""
    try:
        return model_card(model)
    except UserError:
        return None


def _published_tokens(model: str) -> float | None:
    card = published_card(model)
    return None if card is None else float(card.training_tokens)


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """What was measured after so many seconds of training."""

    step: float
    seconds: float
    bits_per_byte: Mapping[str, float]
    """Of each group of text."""
    tokens: float | None = None
    """Read until then."""
    noise: float | None = None
    """The gradient noise scale, in tokens."""

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> CurvePoint:
        scores = {str(name): number(value) for name, value in mapping(row.get("bits_per_byte")).items()}
        known = {name: value for name, value in scores.items() if value is not None}
        return cls(
            step=number(row.get("step")) or 0,
            seconds=number(row.get("seconds")) or 0,
            bits_per_byte=known,
            tokens=number(row.get("tokens")),
            noise=number(mapping(row.get("noise")).get("gradient_noise_scale")),
        )


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One model on one sample of text."""

    model: str
    label: str
    generation: str
    group: str
    split: str
    bits_per_byte: float
    bits_per_character: float | None = None
    low: float | None = None
    high: float | None = None
    bytes: float | None = None
    seconds: float | None = None
    published_tokens: float | None = None
    source: str = ""

    @classmethod
    def read(cls, row: Mapping[str, Any], source: str) -> ScoreRow | None:
        value = number(row.get("bits_per_byte"))
        if value is None:
            return None
        model, sample = text(row.get("model")), text(row.get("sample"), "text")
        split = text(row.get("split")) or ("train" if sample.startswith("train_") else "test")
        return cls(
            model=model,
            label=text(row.get("label")) or model,
            generation=text(row.get("generation"), "pre-trained"),
            group=sample.removeprefix("train_").removeprefix("test_"),
            split=split,
            bits_per_byte=value,
            published_tokens=number(row.get("published_tokens")) or _published_tokens(model),
            **{name: number(row.get(name)) for name in ("bits_per_character", "low", "high", "bytes", "seconds")},
            source=source,
        )


@dataclass(frozen=True, kw_only=True)
class Continued:
    """One model's continuation of an opening."""

    model: str
    label: str
    text: str
    seed: str = ""
    temperature: str = ""


@dataclass(frozen=True, kw_only=True)
class Opening:
    text: str
    origin: str
    rows: tuple[Continued, ...]
    source: str

    @classmethod
    def read(cls, row: Mapping[str, Any], source: str) -> Opening:
        rows = tuple(
            Continued(
                model=text(item.get("model")),
                label=text(item.get("label")) or text(item.get("model")),
                text=text(item.get("text")),
                seed=text(item.get("seed")),
                temperature=text(item.get("temperature")),
            )
            for item in records(row.get("rows"))
        )
        return cls(text=text(row.get("text")), origin=text(row.get("source")), rows=rows, source=source)


@dataclass(frozen=True, kw_only=True)
class EvaluationRow:
    """One model on one task under one solver."""

    model: str
    label: str
    task: str
    solver: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    chance: float | None = None
    detectable: float | None = None
    seconds: float | None = None
    higher_is_better: bool = True
    source: str = ""

    @classmethod
    def read(cls, row: Mapping[str, Any], source: str) -> EvaluationRow | None:
        value = number(row.get("value"))
        if value is None:
            return None
        model = text(row.get("model"))
        return cls(
            model=model,
            label=text(row.get("label")) or model,
            task=text(row.get("task")),
            solver=text(row.get("solver")),
            metric=text(row.get("metric")),
            value=value,
            n=int(number(row.get("n")) or 0),
            higher_is_better=row.get("higher_is_better") is not False,
            **{name: number(row.get(name)) for name in ("low", "high", "chance", "detectable", "seconds")},
            source=source,
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A paired difference between two models on one task."""

    task: str
    solver: str
    a: str
    b: str
    difference: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    metric: str = ""
    source: str = ""

    def matches(self, source: str, task: str, solver: str, metric: str) -> bool:
        known = (self.source, self.task, self.solver) == (source, task, solver)
        return known and self.metric in ("", metric)

    def reversed(self) -> Comparison:
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return replace(self, a=self.b, b=self.a, difference=-self.difference, low=low, high=high)

    @classmethod
    def read(cls, row: Mapping[str, Any], source: str) -> Comparison | None:
        value = number(row.get("difference"))
        if value is None:
            return None
        return cls(
            task=text(row.get("task")),
            solver=text(row.get("solver")),
            a=text(row.get("a")),
            b=text(row.get("b")),
            difference=value,
            low=number(row.get("low")),
            high=number(row.get("high")),
            p_value=number(row.get("p_value")),
            metric=text(row.get("metric")),
            source=source,
        )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One item of a task as a model answered it."""

    model: str
    task: str
    solver: str
    prompt: str
    output: str
    target: str
    score: float
    source: str

    @property
    def stage(self) -> str:
        return self.source.partition("/")[0]

    @property
    def right(self) -> bool:
        return self.score >= 0.5

    @classmethod
    def read(cls, row: Mapping[str, Any], source: str) -> Sample:
        score = row.get("score")
        return cls(
            **{name: text(row.get(name)) for name in ("model", "task", "solver")},
            **{name: _plain(row.get(name)) for name in ("prompt", "output", "target")},
            score=float(score) if isinstance(score, bool) else number(score) or 0.0,
            source=source,
        )


def _plain(value: object) -> str:
    """A prompt given as messages becomes its last message's text."""
    if isinstance(value, list) and value:
        last = value[-1]
        return text(last.get("content")) if isinstance(last, Mapping) else "; ".join(text(item) for item in value)
    return text(value)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the recipe and how far it came."""

    kind: str
    name: str
    state: str
    """done | partial | missing"""
    seconds: float | None = None
    peak_memory_bytes: float | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    losses: tuple[tuple[float, float], ...] = ()

    @property
    def key(self) -> str:
        return f"{self.kind}.{self.name}"

    @property
    def label(self) -> str:
        return text(self.card.get("label")) or self.key

    @property
    def generation(self) -> str:
        return text(self.card.get("generation")) or _FAMILY_GENERATION.get(text(self.card.get("family")), "pre-trained")
