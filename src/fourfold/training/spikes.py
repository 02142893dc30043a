"""Loss spikes: seen before a step reaches the weights, and answered so that a resumed run answers alike.

A spike costs days in a large run; PaLM (Chowdhery et al. 2022, section 5.1) went back to a checkpoint about 100 steps
earlier and skipped the batches around the spike, and OPT (Zhang et al. 2022, section 2.5) also lowered the rate.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fourfold.training.batches import BatchSource
from fourfold.training.schedules import Schedule

SpikePolicy = Literal["skip", "rewind", "lower-rate"]
"""Leave the step out; go back to the last checkpoint and leave out the data since; lower the rate from here on."""

FEWEST = 16
"""Losses that must have been seen before any is called a spike."""
SPREAD = 1.4826
"""Median absolute deviation times this is the standard deviation of a normal distribution."""


def is_spike(losses: Sequence[float], loss: float, threshold: float) -> bool:
    """Whether `loss` is more than `threshold` robust standard deviations above the median of the last losses.

    Infinite and missing numbers always are. A spread below a thousandth of the median is taken as that, so that a
    loss that hardly moves is not called a spike for a ripple.
    """
    if not math.isfinite(loss):
        return True
    if len(losses) < FEWEST:
        return False
    middle = statistics.median(losses)
    spread = SPREAD * statistics.median(abs(value - middle) for value in losses)
    return loss > middle + threshold * max(spread, 1e-3 * abs(middle))


@dataclass(kw_only=True)
class SpikeWatch:
    """Says of each step whether its loss may reach the weights; what it has seen is what `losses` were."""

    threshold: float
    window: int
    losses: deque[float] = field(default_factory=deque)

    def remember(self, losses: Iterable[float]) -> None:
        """Start again from these losses, the last `window` of them."""
        self.losses = deque(losses, maxlen=self.window)

    def admits(self, loss: float) -> bool:
        """True, and remembered, unless it is a spike."""
        if is_spike(self.losses, loss, self.threshold):
            return False
        self.losses.append(loss)
        if len(self.losses) > self.window:
            self.losses.popleft()
        return True


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was done about one spike; a run is a function of its answers, so they are all that must be stored."""

    step: int
    """From this step on, or after rewinding: the step of the checkpoint."""
    data: int = 0
    """So many steps of data are passed over."""
    rate: float = 1.0
    """The learning rate is multiplied by it."""

    def as_dict(self) -> dict[str, Any]:
        return {"step": self.step, "data": self.data, "rate": self.rate}


@dataclass(frozen=True)
class Answered:
    """Data and learning rate of a run after the answers it has given."""

    answers: tuple[Answer, ...]

    def batches(self, source: BatchSource) -> BatchSource:
        """`source` without the steps that were passed over."""
        return _Shifted(source, self.answers)

    def schedule(self, schedule: Schedule) -> Schedule:
        """`schedule` with the factors in force at each step."""
        return lambda step: schedule(step) * math.prod(answer.rate for answer in self.answers if answer.step <= step)


@dataclass(frozen=True)
class _Shifted:
    source: BatchSource
    answers: tuple[Answer, ...]

    def at(self, step: int) -> Sequence[Any]:
        return self.source.at(step + sum(answer.data for answer in self.answers if answer.step <= step))
