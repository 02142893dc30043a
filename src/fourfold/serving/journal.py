"""One line of JSON a request, without its text; numbers for /metrics; an id that answer and line share."""

from __future__ import annotations

import json
import logging
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fourfold.serving.answering import CLOSED
from fourfold.serving.metrics import Metrics
from fourfold.serving.service import LOG

QUIET = ("/health", "/metrics")
"""Asked every few seconds by machines: not worth a line when all is well."""


class Journal:
    """Middleware around everything else. Handlers add to `scope["state"]["facts"]` what they know."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status, id = time.monotonic(), CLOSED, uuid.uuid4().hex
        facts: dict[str, Any] = {}
        scope.setdefault("state", {})["facts"] = facts

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            seconds = time.monotonic() - begin
            route = _route(scope)
            self.metrics.requests.add(route=route, status=str(status))
            if "answer_tokens" in facts:
                self.metrics.seconds.see(seconds)
            if route not in QUIET or status >= 400:
                client = scope.get("client")
                LOG.info("request", extra={"facts": {
                    "id": id, "client": client[0] if client else None, "method": scope["method"], "route": route,
                    "status": status, "seconds": round(seconds, 4), **facts,
                }})  # fmt: skip


def _route(scope: Scope) -> str:
    """The path as the routes know it: what clients make up is one word, so that labels stay few."""
    app = scope.get("app")
    for route in getattr(app, "routes", ()):
        if route.matches(scope)[0] is not Match.NONE:
            return str(getattr(route, "path", "other"))
    return "other"


class JsonLines(logging.Formatter):
    """A log record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_to_stderr() -> None:
    """Write the server's log, a line of JSON an event."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    LOG.handlers = [handler]
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
