"""No faster than the endpoint allows, and a count of what was used; safe under threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import final

from fourfold.inference.endpoint.options import EndpointOptions, Usage


@final
class Pace:
    """Gives out times to send at, so that no minute holds more than is allowed."""

    def __init__(
        self,
        options: EndpointOptions,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request = 60 / options.requests_per_minute
        self._token = 60 / options.tokens_per_minute
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._free_at = self._tokens_free_at = float("-inf")

    def wait(self, tokens: int) -> None:
        """Until a request of about so many tokens may be sent."""
        with self._lock:
            now = self._clock()
            at = max(now, self._free_at, self._tokens_free_at)
            self._free_at = at + self._request
            self._tokens_free_at = at + self._token * tokens
        if at > now:
            self._sleep(at - now)

    def correct(self, estimated: int, used: int) -> None:
        """It used so many tokens in fact."""
        with self._lock:
            self._tokens_free_at += self._token * (used - estimated)


@final
class Counter:
    """Sums up `Usage`."""

    def __init__(self, options: EndpointOptions) -> None:
        self._price = options.price
        self._lock = threading.Lock()
        self._usage = Usage(0, 0, 0, 0, 0, 0.0)

    def add(self, *, requests: int = 0, retries: int = 0, cached: int = 0, prompt: int = 0, answer: int = 0) -> None:
        with self._lock:
            old = self._usage
            self._usage = Usage(
                requests=old.requests + requests,
                retries=old.retries + retries,
                cached=old.cached + cached,
                prompt_tokens=old.prompt_tokens + prompt,
                answer_tokens=old.answer_tokens + answer,
                cost=old.cost + self._price.of(prompt, answer),
            )

    @property
    def usage(self) -> Usage:
        with self._lock:
            return self._usage
