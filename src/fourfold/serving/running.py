"""A server from its start to its last answer: sockets, signals, the drain."""

from __future__ import annotations

import asyncio
import socket
from types import FrameType
from typing import final

import uvicorn
from fastapi import FastAPI

from fourfold.errors import UserError
from fourfold.serving.service import Service

KEEP_ALIVE = 30
HEADERS = 32 * 2**10


@final
class Server(uvicorn.Server):  # subclassed because this is how uvicorn hands over its signals
    """Drains at the first SIGTERM or Ctrl-C, leaves at once at the second."""

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(app, log_level="error", access_log=False, timeout_keep_alive=KEEP_ALIVE,
                                h11_max_incomplete_event_size=HEADERS, server_header=False, lifespan="on",
                                timeout_graceful_shutdown=5)  # fmt: skip
        super().__init__(config)
        self.service: Service = app.state.service
        self.service.on_failure = self.leave
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def leave(self) -> None:
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn, on the main thread amid whatever it does."""
        if self._draining is not None or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        if self._draining is None:
            self._draining = asyncio.ensure_future(self._drained())

    async def _drained(self) -> None:
        await self.service.drain()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)


def bound(host: str, port: int) -> socket.socket:
    """A listening address, or a UserError that says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise UserError(f"this address cannot be listened on ({error.strerror})", where=f"{host}:{port}",
                        advice="Choose another with --port (0 takes a free one).") from error  # fmt: skip
    return opened


def run(app: FastAPI, opened: socket.socket) -> None:
    """Serve until a signal; raises what kept the models from loading."""
    server = Server(app)
    server.run(sockets=[opened])
    if server.service.error is not None:
        raise server.service.error
