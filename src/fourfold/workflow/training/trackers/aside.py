"""A tracker told by a thread of its own: one that is slow, or down, holds up no training.

Clients of trackers try a server that does not answer again and again, for minutes; W&B and MLflow did so before the
first step (LOG.md, 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread
from typing import final

from fourfold.workflow.training.trackers.services import Row, Service

GRACE = 20.0
"""Seconds that the end of a training waits for a tracker that takes no row meanwhile."""
MOST, TOGETHER = 10_000, 100
"""Rows that may wait for a tracker, and how many of them it is told at once."""


@final
class Aside:
    """Opens a tracker and hands rows on, without waiting; what went wrong there is raised at the next call here."""

    def __init__(self, open_tracker: Callable[[], Service], *, grace: float = GRACE, most: int = MOST) -> None:
        self._open, self._grace, self._most = open_tracker, grace, most
        self._rows: SimpleQueue[Row | None] = SimpleQueue()
        self._taken = 0
        self._error: Exception | None = None
        self._thread = Thread(target=copy_context().run, args=(self._tell,), daemon=True)  # remarks go the same way
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if self._error is not None:
            raise self._error
        if self._rows.qsize() >= self._most:
            raise TimeoutError(f"it is {self._most:,} rows behind")
        self._rows.put((step, values))

    def finish(self) -> None:
        """Wait until all rows are told, while they go out."""
        self._rows.put(None)
        while self._thread.is_alive():
            taken = self._taken
            self._thread.join(self._grace)
            if self._thread.is_alive() and self._taken == taken:
                raise TimeoutError(f"no answer for {self._grace:g} s")
        if self._error is not None:
            raise self._error

    def _tell(self) -> None:
        try:
            tracker, ended = self._open(), False
            while not ended:
                waiting = self._waiting()
                rows, ended = [row for row in waiting if row is not None], waiting[-1] is None
                tracker.log(rows)
                self._taken += len(rows)
            tracker.finish()
        except Exception as error:  # whatever a tracker raises: it is told by the training's own thread
            self._error = error

    def _waiting(self) -> list[Row | None]:
        """The next row or more of them; None, the last of all, is their end."""
        rows = [self._rows.get()]
        while rows[-1] is not None and len(rows) < TOGETHER and not self._rows.empty():
            rows.append(self._rows.get())
        return rows
