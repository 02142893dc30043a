"""Rows by number, and what steps make of them: batches that grow, and text that is mixed in against forgetting.

A row source knows which rows number `first` and the ones after it are; everything here is a function of the step on
top of that, so resuming needs nothing but the step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

from fourfold.training import LabelledBatch


class RowSource(Protocol):
    """Training text as an endless list of rows."""

    @property
    def batch_size(self) -> int: ...

    def rows_from(self, first: int, count: int) -> Sequence[LabelledBatch]:
        """So many rows from number `first` on, as micro-batches."""

    def at(self, step: int) -> Sequence[LabelledBatch]: ...


@dataclass(frozen=True, kw_only=True)
class BatchRamp:
    """A batch that grows evenly from `start` rows to `full` in so many steps (Brown et al. 2020, section 2.3 and
    appendix B: 32 thousand tokens to the full 3.2 million)."""

    start: int
    full: int
    steps: int

    def size(self, step: int) -> int:
        """Rows of that step."""
        return self.full if step >= self.steps else self.start + (self.full - self.start) * step // self.steps

    def before(self, step: int) -> int:
        """Rows of all steps before it."""
        rising = min(step, self.steps)
        return int(self._sums[rising]) + max(0, step - self.steps) * self.full

    def steps_for(self, rows: int) -> int:
        """The fewest steps that read so many rows."""
        rising = int(np.searchsorted(self._sums, rows))
        if rising <= self.steps:
            return max(1, rising)
        return self.steps + math.ceil((rows - int(self._sums[-1])) / self.full)

    @cached_property
    def _sums(self) -> NDArray[np.int64]:
        sizes = [self.size(step) for step in range(self.steps)]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


@final
@dataclass(frozen=True)
class RampedBatches:
    """A batch source whose steps have as many rows as the ramp says."""

    source: RowSource
    ramp: BatchRamp

    def at(self, step: int) -> Sequence[LabelledBatch]:
        return self.source.rows_from(self.ramp.before(step), self.ramp.size(step))


@final
@dataclass(frozen=True)
class ReplayedRows:
    """Rows of one text with a share of another's between them, evenly spread: row n of all is number
    floor(n x share) of the other text whenever that number is a new one."""

    main: RowSource
    other: RowSource
    share: float

    @property
    def batch_size(self) -> int:
        return self.main.batch_size

    def rows_from(self, first: int, count: int) -> Sequence[LabelledBatch]:
        before, until = math.floor(first * self.share), math.floor((first + count) * self.share)
        mixed = until - before
        own = self.main.rows_from(first - before, count - mixed) if count > mixed else []
        return [*own, *(self.other.rows_from(before, mixed) if mixed else [])]

    def at(self, step: int) -> Sequence[LabelledBatch]:
        return self.rows_from(step * self.batch_size, self.batch_size)
