"""A server's life: loading, open, draining; and who is let in."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from fourfold.inference import Request
from fourfold.serving.bridge import Bridge, Stream
from fourfold.serving.errors import ApiError
from fourfold.serving.limits import Limits
from fourfold.serving.loaded import Loaded
from fourfold.serving.metrics import Metrics
from fourfold.tokenizers import RenderingProcess

LOG = logging.getLogger("fourfold.serving")
TEXTS = {
    "running": "Answers being written.",
    "waiting": "Answers waiting for their first step.",
    "swapped": "Answers set aside for lack of memory, to go on later.",
    "blocks_used": "Blocks of keys and values that answers read.",
    "blocks_free": "Blocks that are free.",
    "blocks_cached": "Blocks kept for prompts that begin alike.",
    "tokens_read": "Tokens of prompts that went through the model since the start.",
    "tokens_written": "Tokens written since the start.",
    "prefix_hits": "Prompts of which a beginning was known.",
    "prefix_tokens": "Tokens of prompts that were known and not read again.",
    "preemptions": "Answers set aside since the start.",
    "steps": "Steps since the start.",
}
"""Of the numbers the engine counts."""
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
            self._bridge = Bridge(self._loaded.model.engine, self)
            self._bridge.start(asyncio.get_running_loop())
            if "chat" in self._loaded.model.capabilities:
                await asyncio.to_thread(self.renderer.start)
        if self.status == "loading":
            self.status = "ok"

    def page(self) -> str:
        """The numbers for Prometheus. Waits for the step at hand, so call it on a thread."""
        gauges = {"fourfold_open_answers": ("Answers admitted and not ended.", float(self.open))}
        if self._bridge is not None:
            counts = self._bridge.engine.counts()._asdict()
            gauges |= {f"fourfold_engine_{name}": (TEXTS[name], value) for name, value in counts.items()}
        return self.metrics.page(gauges)

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

    @contextmanager
    def stream(self, requests: Sequence[Request]) -> Iterator[Stream]:
        """What the engine makes of the requests, for as long as the limit says; ends what is left at its end."""
        assert self._bridge is not None
        stream = self._bridge.submit(requests)
        timer = asyncio.get_running_loop().call_later(self.limits.seconds, stream.fail, TimeoutError())
        try:
            yield stream
        finally:
            timer.cancel()
            stream.close()

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
