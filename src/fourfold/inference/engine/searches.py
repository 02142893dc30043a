"""Requests with a search of their own: a call of each in every step of the engine, beside the rows that go together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Sequence
from typing import NamedTuple, final

from fourfold.errors import UserError
from fourfold.inference.engine.request import Request, Token
from fourfold.inference.engine.running import Running

AT_ONCE = 8
"""Searches that run; the others wait."""


class _Begun(NamedTuple):
    calls: Generator[Sequence[Token]]
    bytes: int


@final
class Searches:
    """Those that run and those that wait; together they hold no more than `most` bytes of keys and values."""

    def __init__(self, token_bytes: int, most: int) -> None:
        self.token_bytes, self.most = token_bytes, most
        self.waiting: deque[tuple[Running, int]] = deque()
        self.running: dict[Running, _Begun] = {}
        self._lock = threading.Lock()
        """Held while `waiting` changes: requests come from any thread."""

    def submit(self, running: Running, room: int) -> None:
        """Take one in; UserError if it could never be held."""
        size = self._bytes(running.request, room)
        if size > self.most:
            raise UserError(
                "this search needs more memory than the engine has for searches",
                expected=f"at most {self.most / 1e6:,.0f} MB of keys and values", got=f"{size / 1e6:,.0f} MB",
                advice="Ask for fewer tokens or hypotheses, or give the engine more memory.",
            )  # fmt: skip
        with self._lock:
            self.waiting.append((running, size))

    def step(self) -> int:
        """One call of the model for each that runs; the tokens that were settled."""
        self._admit()
        return sum(self._advance(running) for running in list(self.running))

    def drop_cancelled(self) -> None:
        """Those that nobody wants end, and what they held is free."""
        for running in [running for running in self.everyone() if running.cancelled]:
            self.end(running, None)

    @property
    def busy(self) -> bool:
        return bool(self.running or self.waiting)

    def everyone(self) -> list[Running]:
        with self._lock:
            return [*self.running, *(running for running, _ in self.waiting)]

    def end(self, running: Running, error: Exception | None) -> None:
        begun = self.running.pop(running, None)
        if begun is not None:
            begun.calls.close()
        with self._lock:
            self.waiting = deque(one for one in self.waiting if one[0] is not running)
        running.end(error)

    # ---- inside

    def _admit(self) -> None:
        held = sum(begun.bytes for begun in self.running.values())
        while self.waiting and len(self.running) < AT_ONCE and held + self.waiting[0][1] <= self.most:
            with self._lock:
                running, size = self.waiting.popleft()
            held += size
            assert running.request.search is not None
            self.running[running] = _Begun(running.request.search.run(running.request), size)

    def _advance(self, running: Running) -> int:
        try:
            tokens = next(self.running[running].calls)
        except Exception as error:  # whatever a search raises belongs to its request
            self.end(running, error)
            return 0
        if tokens:
            running.push(*tokens)
        if running.ended:
            self.end(running, None)
        return sum(token.id is not None for token in tokens)

    def _bytes(self, request: Request, room: int) -> int:
        assert request.search is not None
        tokens = len(request.source or ()) + len(request.ids) + room + request.search.extra
        return request.search.rows * tokens * self.token_bytes
