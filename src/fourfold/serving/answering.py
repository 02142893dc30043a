"""One answer to a client, whole or as server-sent events, for every kind of completion."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, Protocol, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from fourfold.serving.errors import ApiError, api_error
from fourfold.serving.service import LOG, Service
from fourfold.serving.writing import Piece, Work, pieces

T = TypeVar("T")
CLOSED = 499
"""The status in the log when nobody is there to be answered."""


class Form(Protocol):
    """How a kind of completion lays out its choices; it remembers what each has gained."""

    prefix: str
    whole_kind: str
    chunk_kind: str

    def opening(self, index: int) -> list[dict[str, Any]]:
        """Choices that begin a stream."""

    def take(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Choices of the events this piece makes."""

    def whole(self, index: int) -> dict[str, Any]:
        """The choice when all is written."""


async def respond(service: Service, request: Request, work: Work, form: Form, *, stream: bool, usage: bool) -> Response:
    """Write the answers that `work` asks for. The caller has checked them and holds no place."""
    note(request, model=work.voice.name, prompt_tokens=work.prompt_tokens)
    if not stream:
        return JSONResponse(await while_connected(request, _whole(service, request, work, form)))
    events = _events(service, request, work, form, usage)
    # Made here, so that an early failure is still an HTTP error.
    first = await while_connected(request, _next(events))

    async def all_events() -> AsyncIterator[str]:
        try:
            yield first
            async for event in events:
                yield event
        finally:
            await events.aclose()

    return StreamingResponse(all_events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _whole(service: Service, request: Request, work: Work, form: Form) -> dict[str, Any]:
    try:
        with service.admitted(len(work.requests)):
            async for index, piece in pieces(service, work):
                form.take(index, piece)
    except Exception as error:
        raise told(error) from error
    finally:
        _note_end(service, request, work)
    choices = [{**form.whole(index), "index": place} for place, index in enumerate(work.given())]
    return {**_head(form.prefix, form.whole_kind, work), "choices": choices, "usage": _usage(work)}


async def _events(service: Service, request: Request, work: Work, form: Form, usage: bool) -> AsyncGenerator[str]:
    head = _head(form.prefix, form.chunk_kind, work)
    extra = {"usage": None} if usage else {}
    begun: set[int] = set()

    def event(choices: list[dict[str, Any]]) -> str:
        return _event({**head, "choices": choices, **extra})

    try:
        with service.admitted(len(work.requests)):
            async for index, piece in pieces(service, work):
                choices = form.take(index, piece)
                if index not in begun:
                    begun.add(index)
                    choices = [*form.opening(index), *choices]
                if choices:
                    yield "".join(event([choice]) for choice in choices)
        if usage:
            yield _event({**head, "choices": [], "usage": _usage(work)})
    except Exception as error:
        if not begun:
            raise told(error) from error
        yield _event(told(error).body())
    finally:
        _note_end(service, request, work)
    yield "data: [DONE]\n\n"


async def _next(events: AsyncGenerator[str]) -> str:
    return await anext(events)


def told(error: Exception) -> ApiError:
    """The error as the client sees it; what is ours is logged."""
    found = api_error(error)
    if found.status == 500:
        LOG.error("a request failed", exc_info=error)
    return found


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled as soon as the client goes."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ApiError(CLOSED, "The client left.")
    finally:
        for part in (task, gone):
            part.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def note(request: Request, **facts: object) -> None:
    """Facts for the log line of this request."""
    request.state.facts.update(facts)


def _note_end(service: Service, request: Request, work: Work) -> None:
    whole = len(work.reasons) == len(work.requests)
    if not whole:
        service.metrics.cancelled.add()
    note(request, answer_tokens=work.written, finish=work.reasons if whole else "unfinished")


def _head(prefix: str, kind: str, work: Work) -> dict[str, Any]:
    name = work.voice.name
    return {"id": f"{prefix}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": name}


def _usage(work: Work) -> dict[str, int]:
    read, written = work.prompt_tokens, work.written
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _event(value: object) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"
