"""Who may come in and with how much: bearer keys, hosts, body size."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fourfold.serving.requests import ApiError

BODY_LIMIT = 4 * 2**20
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1", "testserver"})


class Guard:
    """Middleware that refuses before anything is read or computed.

    Without a key only requests addressed to this machine by name are answered, so that a web
    page cannot reach the server through a name of its own (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, api_key: str | None, body_limit: int = BODY_LIMIT) -> None:
        self.app, self.api_key, self.body_limit = app, api_key, body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self.check(scope["path"], headers)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await self.app(scope, _Limited(receive, self.body_limit), send)

    def check(self, path: str, headers: Headers) -> None:
        if self.api_key is not None and path != "/health":
            given = headers.get("authorization", "").removeprefix("Bearer ").strip()
            if not hmac.compare_digest(given.encode(), self.api_key.encode()):
                raise ApiError(401, "The API key is missing or wrong.", code="invalid_api_key")
        if self.api_key is None and urlsplit(f"//{headers.get('host', '')}").hostname not in LOOPBACK_NAMES:
            raise ApiError(403, "Without a key this server only answers on this machine.", code="forbidden_host")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.body_limit:
            raise too_large(self.body_limit)


class _Limited:
    """A body that stops growing at the limit, whatever its length header says."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive, self.left, self.limit = receive, limit, limit

    async def __call__(self) -> Message:
        message = await self.receive()
        self.left -= len(message.get("body", b""))
        if self.left < 0:
            raise too_large(self.limit)
        return message


def too_large(limit: int) -> ApiError:
    return ApiError(413, f"The request is larger than {limit:,} bytes.", code="request_too_large")
