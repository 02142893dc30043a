"""Tell every tracker, and go on without one that fails: a training must not die of its curves."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import fmean
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Protocol, final

from fourfold.progress import say
from fourfold.workflow.machine import resident_bytes
from fourfold.workflow.training.trackers.aside import Aside
from fourfold.workflow.training.trackers.services import open_service, require_service
from fourfold.workflow.training.trackers.tensorboard import EventFile

if TYPE_CHECKING:
    from fourfold.training import TrainingStep
    from fourfold.workflow.context import StageContext
    from fourfold.workflow.training.fit import Fit

FOLDER = "tensorboard"
BARS = "▁▂▃▄▅▆▇█"
DRAWN, EACH = 12, 8
"""Bars of the course of the loss, and steps to a bar."""

WIDEST = 200
"""Characters of what a tracker is quoted with."""


class Tracker(Protocol):
    """Takes numbers by step."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def finish(self) -> None: ...


@final
class Trackers:
    """The trackers of one training that still answer."""

    def __init__(self, trackers: Mapping[str, Tracker], flops_per_token: float | None, peak: float | None) -> None:
        self._trackers = dict(trackers)
        self._flops_per_token, self._peak = flops_per_token, peak
        self._losses: deque[float] = deque(maxlen=DRAWN * EACH)

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """The numbers of a row of metrics.jsonl or curve.jsonl, groups by group/name."""
        values = dict(_scalars(row))
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.log(step, values)
            except Exception as error:  # whatever a tracker raises: the run matters more
                del self._trackers[name]
                say(f"Tracker '{name}' is told no more from step {step} on, the training goes on: {_first_line(error)}")

    def finish(self) -> None:
        for name, tracker in self._trackers.items():
            try:
                tracker.finish()
            except Exception as error:  # as above
                say(f"Tracker '{name}' was not told to the end, metrics.jsonl has it all: {_first_line(error)}")

    def note(self, step: TrainingStep) -> str:
        """A line for the screen: loss and how it went, learning rate, speed, share of the machine's rate, memory."""
        rate, loss = step.tokens / max(step.seconds, 1e-9), step.losses["loss"]
        self._losses.append(loss)
        parts = [f"loss {loss:.3f} {drawn(self._losses)}".rstrip(), f"lr {step.learning_rate:.2g}"]
        parts.append(f"{rate:,.0f} tokens/s")
        if self._flops_per_token and self._peak:
            parts.append(f"MFU {rate * self._flops_per_token / self._peak:.0%}")
        if memory := resident_bytes():
            parts.append(f"{memory / 1e9:.1f} GB")
        return ", ".join(parts)


def drawn(losses: Sequence[float]) -> str:
    """The course of the last losses in small bars, a mean of `EACH` steps to a bar; empty while there is no course."""
    whole = [loss for loss in losses if math.isfinite(loss)]
    means = [fmean(whole[start : start + EACH]) for start in range(0, len(whole) - EACH + 1, EACH)]
    low, high = min(means, default=0.0), max(means, default=0.0)
    if high <= low:
        return ""
    return "".join(BARS[round((mean - low) / (high - low) * (len(BARS) - 1))] for mean in means)


@contextmanager
def open_trackers(context: StageContext, fit: Fit, *, silent: bool = False) -> Iterator[Trackers]:
    """TensorBoard's file in the stage folder, and the services the fit names, each by a thread of its own.

    None of them where `silent`: another process of the training tells them.
    """
    if silent:
        yield Trackers({}, None, None)
        return
    trackers: dict[str, Tracker] = {}
    try:
        trackers["tensorboard"] = EventFile(context.folder / FOLDER)
    except OSError as error:
        say(f"No TensorBoard file: {_first_line(error)}")
    settings = {"stage": context.name, "label": fit.label, "steps": fit.steps, **fit.update.model_dump(mode="json")}
    name = f"{context.run_folder.name}/{context.name}"
    for service in fit.trackers:
        require_service(service)
        trackers[service] = Aside(partial(open_service, service, "fourfold", name, settings))
    telling = Trackers(trackers, fit.flops_per_token, _peak(fit))
    try:
        yield telling
    finally:
        telling.finish()


def _peak(fit: Fit) -> float | None:
    from fourfold.pretraining import peak_flops

    return peak_flops(fit.precision) if fit.flops_per_token else None


def _scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}/{name}", number) for name, number in _scalars(value))
        elif isinstance(value, int | float) and not isinstance(value, bool) and key != "step" and math.isfinite(value):
            yield key, float(value)


def _first_line(error: BaseException) -> str:
    return shorten((str(error).strip() or type(error).__name__).splitlines()[0], WIDEST, placeholder=" …")
