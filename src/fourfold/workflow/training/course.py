"""Whether a training learns: its last losses against its first."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

SPAN = 16
"""Losses at the start, and at the end, that are compared."""
OUTSET, FAR = 4, 2.0
"""Where the first steps themselves go wrong, the very first ones tell: so many, and so many times their middle."""


@dataclass(kw_only=True)
class Course:
    """The losses of a training so far, as far as they are compared. One that is no number is a guard's affair."""

    first: list[float] = field(default_factory=list)
    last: deque[float] = field(default_factory=lambda: deque(maxlen=SPAN))
    told: bool = False

    def worsens(self, loss: float | None) -> bool:
        """Take a loss; True, once, when the middle of the last ones lies above all of the first, or far above them."""
        if loss is None or not math.isfinite(loss):
            return False
        if len(self.first) < SPAN:
            self.first.append(loss)
            return False
        self.last.append(loss)
        limit = min(max(self.first), FAR * abs(median(self.first[:OUTSET])))
        if self.told or len(self.last) < SPAN or median(self.last) <= limit:
            return False
        self.told = True
        return True

    def remember(self, losses: Iterable[float | None]) -> None:
        """Go on from these; what they would have told was told."""
        for loss in losses:
            self.worsens(loss)
