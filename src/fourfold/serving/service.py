"""A server's life: loading, open, draining; and who is let in."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from fourfold.serving.bridge import Bridge
from fourfold.serving.errors import ApiError
from fourfold.serving.limits import Limits
from fourfold.serving.loaded import Loaded
from fourfold.serving.metrics import Metrics
from fourfold.serving.rendering import RenderingProcess
from fourfold.serving.stepping import Engine

LOG = logging.getLogger("fourfold.serving")
Status = Literal["ok", "loading", "draining", "failed"]


class Service:
    """What all routes share. Lives on the event loop; loading happens on a thread."""

    def __init__(self, load: Callable[[], Loaded], name: str, limits: Limits) -> None:
        self.name, self.limits, self.metrics = name, limits, Metrics()
        self.created = int(time.time())
        self.status: Status = "loading"
        self.error: Exception | None = None
        """Why loading failed."""
        self.on_failure: Callable[[], None] = lambda: None
        self.renderer = RenderingProcess(limits.template_seconds, limits.template_bytes)
        self.open = 0
        """Answers admitted and not ended."""
        self._load = load
        self._loaded: Loaded | None = None
        self._bridge: Bridge | None = None
        self._loading: asyncio.Task[None] | None = None

    # ---- life

    def start(self) -> None:
        """Begin to load; requests are refused until that is done."""
        self._loading = asyncio.get_running_loop().create_task(self._prepare())

    async def ready(self) -> None:
        """Wait until loading is over, well or not."""
        if self._loading is not None:
            await self._loading

    async def _prepare(self) -> None:
        try:
            self._loaded = await asyncio.to_thread(self._load)
        except Exception as error:
            self.error, self.status = error, "failed"
            self.on_failure()
            return
        if self._loaded.model is not None:
            engine = Engine(self._loaded.model.module, self._loaded.model.device)
            self._bridge = Bridge(engine, self)
            self._bridge.start(asyncio.get_running_loop())
            if "chat" in self._loaded.model.capabilities:
                await asyncio.to_thread(self.renderer.start)
        self._watch()
        if self.status == "loading":
            self.status = "ok"

    def _watch(self) -> None:
        metrics = self.metrics
        metrics.gauge("fourfold_open_answers", "Answers admitted and not ended.", lambda: self.open)
        if self._bridge is not None:
            counts = self._bridge.engine.counts
            metrics.gauge("fourfold_running", "Answers being written.", lambda: counts().running)
            metrics.gauge("fourfold_waiting", "Answers waiting for their first step.", lambda: counts().waiting)

    async def drain(self) -> None:
        """Let nobody in, wait for those inside as long as the limit says, then end them."""
        self.status = "draining"
        deadline = time.monotonic() + self.limits.drain_seconds
        while self.open and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        if self.open and self._bridge is not None:
            self._bridge.fail_all(ApiError(503, "The server stops.", code="shutting_down"))
            await asyncio.sleep(0.1)

    def close(self) -> None:
        if self._bridge is not None:
            self._bridge.close()
        self.renderer.close()

    def engine_failed(self, error: Exception) -> None:
        """A step failed as a whole (called on the engine's thread)."""
        self.metrics.failures.add()
        LOG.error("the engine failed", exc_info=error)

    # ---- requests

    def loaded(self) -> Loaded:
        """The models; 503 before they are there and after the server began to stop."""
        if self._loaded is None or self.status != "ok":
            what = {"loading": "is still loading", "draining": "is about to stop"}.get(self.status, "could not load")
            raise ApiError(503, f"The server {what}.", code=self.status, retry_after=5)
        return self._loaded

    @property
    def bridge(self) -> Bridge:
        assert self._bridge is not None
        return self._bridge

    @contextmanager
    def admitted(self, answers: int) -> Iterator[None]:
        """A place for so many answers, or 429 with the time after which it is worth asking again."""
        if answers > self.limits.choices:
            raise ApiError(400, f"One request may ask for {self.limits.choices} answers, not {answers}.", param="n")
        if self.open + answers > self.limits.rows + self.limits.waiting:
            self.metrics.refused.add()
            raise ApiError(429, f"{self.open} answers are open; there is no place for more.",
                           code="overloaded", retry_after=self._wait())  # fmt: skip
        self.open += answers
        try:
            yield
        finally:
            self.open -= answers

    def _wait(self) -> int:
        """Seconds until the answers that wait have had their turn, by the mean so far."""
        seen = self.metrics.seconds
        mean = seen.sum / seen.count if seen.count else 1.0
        return max(1, min(60, math.ceil(mean * self.limits.waiting / max(self.limits.rows, 1))))
