"""Rows that go on where they ended a step before, for models that carry a memory from step to step."""

from __future__ import annotations

from typing import final

from fourfold.pretraining.corpus.windows import WindowBatches
from fourfold.training import LabelledBatch


@final
class StreamBatches:
    """A batch source over the same stream as `WindowBatches`, read in order: which tokens step n sees follows from n.

    The stream is cut into as many lanes as rows; row b reads lane b window by window and goes on with lane b + 1,
    so that every row has read the whole text once after `batch_size` times the windows of a lane.
    """

    def __init__(self, windows: WindowBatches) -> None:
        self._windows = windows
        self.batch_size, self.context = windows.batch_size, windows.context
        self.lane = max(1, windows.windows // windows.batch_size)
        """Windows of a lane."""

    def at(self, step: int) -> list[LabelledBatch]:
        """The one micro-batch of a step: rows belong together with their memories."""
        whole = min(self.lane * self.batch_size, self._windows.windows)
        places = [(row * self.lane + step) % whole for row in range(self.batch_size)]
        return [self._windows.batch_from([place * self._windows.context for place in places])]
