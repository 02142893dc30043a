"""Who may come in, with how much and how slowly: keys, hosts, body size, time to send it."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fourfold.serving.errors import ApiError
from fourfold.serving.keys import Keys
from fourfold.serving.limits import Limits

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN = frozenset({"/health"})
"""Without a key: it tells no more than that the server is there."""


class Guard:
    """Middleware that refuses before anything is read or computed.

    Without keys only requests addressed to this machine by name are answered, so that a web
    page cannot reach the server through a name of its own (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, keys: Keys | None, limits: Limits) -> None:
        self.app, self.keys, self.limits = app, keys, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self.check(scope, headers)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await self.app(scope, _Limited(receive, self.limits), send)

    def check(self, scope: Scope, headers: Headers) -> None:
        if self.keys is None and host_name(headers) not in LOOPBACK_NAMES:
            raise ApiError(403, "Without a key this server only answers on this machine.", code="forbidden_host")
        if self.keys is not None and scope["path"] not in OPEN:
            kind, _, given = headers.get("authorization", "").partition(" ")
            holder = self.keys.holder(given.strip()) if kind.lower() == "bearer" else None
            if holder is None:
                raise ApiError(401, "The API key is missing or wrong.", code="invalid_api_key")
            scope.setdefault("state", {}).setdefault("facts", {})["key"] = holder
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > self.limits.body:
            raise too_large(self.limits.body)


class _Limited:
    """A body that stops growing at the limit, whatever its length header says, and that does not trickle."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self.receive, self.left, self.limits = receive, limits.body, limits
        self.deadline = time.monotonic() + limits.reading_seconds
        self.complete = False

    async def __call__(self) -> Message:
        if self.complete:  # what follows is only the news that the client left
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), max(0.0, self.deadline - time.monotonic()))
        except TimeoutError:
            seconds = self.limits.reading_seconds
            raise ApiError(408, f"The request was not complete after {seconds:g} s.", code="timeout") from None
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            raise too_large(self.limits.body)
        self.complete = not message.get("more_body", False)
        return message


def host_name(headers: Headers) -> str | None:
    """The host a request is addressed to, without its port."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return None


def too_large(limit: int) -> ApiError:
    return ApiError(413, f"The request is larger than {limit:,} bytes.", code="request_too_large")
