"""Between the engine's thread and the event loop: one hand-over a step, whatever the number of answers.

event loop                               engine's thread
submit ──────────────────────────────►   step, step, step …
Stream.push ◄── call_soon_threadsafe ──  tokens of all answers of the step, in one call
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from fourfold.inference import Engine, Request, Running, Token

IDLE_SECONDS = 1.0
"""After so long without work the thread looks whether it is still wanted."""


class News(NamedTuple):
    """What one answer of a stream became: tokens, and perhaps an error that ends it."""

    answer: int
    """Its number in the stream."""
    tokens: list[Token]
    error: Exception | None = None


class Journal(Protocol):
    """Who is told what the engine does."""

    def engine_failed(self, error: Exception) -> None: ...


class Stream:
    """The answers to one request of a client, as they are made. Lives on the event loop."""

    def __init__(self, bridge: Bridge, answers: Sequence[Running]) -> None:
        self._bridge, self._answers = bridge, dict(enumerate(answers))
        self._news: list[News] = []
        self._arrived = asyncio.Event()
        self.error: BaseException | None = None

    def push(self, news: News) -> None:
        self._news.append(news)
        self._arrived.set()

    def fail(self, error: BaseException) -> None:
        """End the whole stream: the reader gets this error."""
        self.error = error
        self._arrived.set()

    async def next(self) -> list[News]:
        """What came since the last call; waits for something. Raises what ended the stream."""
        while not self._news:
            if self.error is not None:
                raise self.error
            self._arrived.clear()
            await self._arrived.wait()
        news, self._news = self._news, []
        return news

    def open(self) -> list[tuple[int, Running]]:
        return list(self._answers.items())

    def drop(self, index: int) -> None:
        """This answer is at its end, or no longer wanted: its blocks are free at once."""
        running = self._answers.pop(index, None)
        if running is not None:
            running.cancel()
        if not self._answers:
            self._bridge.forget(self)

    def close(self) -> None:
        for index, _ in self.open():
            self.drop(index)
        self._bridge.forget(self)


class Bridge:
    """Steps an engine on a thread of its own while there is work, and hands on what comes of it."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self.engine, self._journal = engine, journal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: dict[Stream, None] = {}
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        self._work.set()
        self._thread.join(timeout=10)

    def submit(self, requests: Sequence[Request]) -> Stream:
        """Begin all of them, or none; raises UserError for a request that cannot be."""
        begun: list[Running] = []
        try:
            for request in requests:
                begun.append(self.engine.submit(request))
        except BaseException:
            for running in begun:
                running.cancel()
            self._work.set()
            raise
        stream = Stream(self, begun)
        with self._lock:
            self._streams[stream] = None
        self._work.set()
        return stream

    def forget(self, stream: Stream) -> None:
        with self._lock:
            self._streams.pop(stream, None)
        self._work.set()  # the engine sees what was cancelled

    def fail_all(self, error: BaseException) -> None:
        """End every open stream (the time to drain is over). Called on the event loop."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.fail(error)

    def _run(self) -> None:
        while not self._closing:
            self._work.clear()
            try:
                worked = self.engine.step()
            except Exception as error:  # nobody's answer can go on, but those that come later may
                worked = False
                self._journal.engine_failed(error)
                self._call(self.fail_all, error)
            self._hand_over()
            if not worked:
                self._work.wait(timeout=IDLE_SECONDS)

    def _hand_over(self) -> None:
        with self._lock:
            streams = list(self._streams)
        batch: list[tuple[Stream, News]] = []
        for stream in streams:
            for index, running in stream.open():
                try:
                    tokens = running.take()
                except Exception as error:
                    batch.append((stream, News(index, [], error)))
                else:
                    if tokens:
                        batch.append((stream, News(index, tokens)))
        if batch:
            self._call(_deliver, batch)

    def _call(self, function: Any, *values: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *values)
        except RuntimeError:  # the loop is closed: nobody is waiting any more
            self._closing = True


def _deliver(batch: list[tuple[Stream, News]]) -> None:
    for stream, news in batch:
        stream.push(news)
