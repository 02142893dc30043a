"""Ctrl-C that never cuts a write or a training step in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fourfold.progress import say


class Interrupts:
    """Turns SIGINT into KeyboardInterrupt, at once or, inside `deferred`, at the next `check`.

    A second Ctrl-C inside `deferred` is not waited for.
    """

    def __init__(self) -> None:
        self._deferred = 0
        self._pending = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT here; outside the main thread this does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._receive)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Work that stops only at its own `check` calls."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    @property
    def pending(self) -> bool:
        """True when the user has asked to stop and the work has not stopped yet."""
        return self._pending

    def check(self) -> None:
        """Stop here if the user has asked for it."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self._deferred or self._pending:
            self._pending = False
            raise KeyboardInterrupt
        self._pending = True
        say("Stopping after this step; the state is being saved. Press Ctrl-C again to stop at once.")
