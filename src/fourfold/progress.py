"""Progress without printing: library code reports here, the command line shows it.

The library calls `track`, `task` and `say`; whoever owns the screen installs a
`Sink` with `use_sink`. Without one, reports go nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """One piece of long work on the screen."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """`amount` more units are done; `note` is a few words such as a loss."""


class Sink(Protocol):
    """Where progress and remarks go."""

    def start(self, label: str, total: float | None, unit: str) -> Task: ...

    def stop(self, task: Task) -> None: ...

    def say(self, text: str) -> None: ...


class _Nowhere:
    def start(self, label: str, total: float | None, unit: str) -> Task:
        return self

    def advance(self, amount: float = 1, note: str = "") -> None:
        pass

    def stop(self, task: Task) -> None:
        pass

    def say(self, text: str) -> None:
        pass


_sink: ContextVar[Sink | None] = ContextVar("sink", default=None)


@contextmanager
def use_sink(sink: Sink) -> Iterator[None]:
    """Send the progress of this context to `sink`."""
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


@contextmanager
def task(label: str, total: float | None = None, unit: str = "items") -> Iterator[Task]:
    """Report work that is not a plain loop: `with task("train", 600, "steps") as t: t.advance()`."""
    sink = _sink.get() or _Nowhere()
    work = sink.start(label, total, unit)
    try:
        yield work
    finally:
        sink.stop(work)


def track(items: Iterable[T], label: str, total: float | None = None, unit: str = "items") -> Iterator[T]:
    """Yield the items and report each."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with task(label, total, unit) as work:
        for item in items:
            yield item
            work.advance()


def say(text: str) -> None:
    """A remark worth a line: a choice made for the user, something skipped."""
    sink = _sink.get()
    if sink is not None:
        sink.say(text)
