"""A request on its way: the caller's end of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, final

from fourfold.inference.engine.request import Request, Token


class Drives(Protocol):
    """What a request on its way needs of its engine."""

    @property
    def has_thread(self) -> bool: ...
    def step_for(self, running: Running) -> None: ...
    def cancel(self, running: Running) -> None: ...


@final
class Running:
    """Iterate over it for tokens; the last one has no id but the reason of the end.

    What fails of this request is raised here and nowhere else. To leave it before its end, `cancel` it.
    """

    def __init__(self, engine: Drives, request: Request) -> None:
        self.request = request
        self.cancelled = False
        self.batch_invariant = True
        """Whether no number of it can depend on what else the engine has done."""
        self._engine = engine
        self._tokens: deque[Token] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._change = threading.Condition()
        self._wake: Callable[[], None] | None = None

    @property
    def ended(self) -> bool:
        """Nothing more will come than what `take` gives."""
        return self._ended

    def __iter__(self) -> Iterator[Token]:
        while True:
            if self._tokens:
                yield self._tokens.popleft()
            elif self._error is not None:
                raise self._error
            elif self._ended:
                return
            elif self._engine.has_thread:
                with self._change:
                    self._change.wait_for(lambda: bool(self._tokens) or self._ended)
            else:
                self._engine.step_for(self)

    def take(self) -> list[Token]:
        """The tokens that are there, without waiting; raises what went wrong once there are none."""
        found = []
        while self._tokens:
            found.append(self._tokens.popleft())
        if not found and self._error is not None:
            raise self._error
        return found

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from the engine's thread, whenever there is something to `take`."""
        self._wake = wake
        if self._tokens or self._ended:
            self._call_wake()

    def cancel(self) -> None:
        """Its blocks are free at once, or when the step at hand is over. It ends without a reason."""
        if not self._ended:
            self.cancelled = True
            self._engine.cancel(self)

    # ---- the engine's end

    @property
    def idle(self) -> bool:
        """Nothing to take, and more to come."""
        return not self._tokens and not self._ended

    def push(self, *tokens: Token) -> None:
        """New tokens; an end among them is the end."""
        with self._change:
            self._tokens.extend(tokens)
            self._ended = self._ended or any(token.id is None for token in tokens)
            self._change.notify_all()
        self._call_wake()

    def end(self, error: Exception | None = None) -> None:
        """No token follows."""
        with self._change:
            self._error, self._ended = error, True
            self._change.notify_all()
        self._call_wake()

    def _call_wake(self) -> None:
        """A listener that fails is one that has gone: nobody else is to suffer from it."""
        if self._wake is None:
            return
        try:
            self._wake()
        except Exception:
            self.cancelled, self._wake = True, None
