"""The application: models, chat completions, completions, health. One generation at a time."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fourfold.errors import UserError
from fourfold.inference import Generation, Message, Sampling
from fourfold.serving.guards import BODY_LIMIT, Guard
from fourfold.serving.requests import ApiError, ChatRequest, CompletionRequest, SamplingFields

WAITING_LIMIT = 64
"""Requests that may wait; the next one is told to come back later."""


class Servable(Protocol):
    """What the server needs of a model; `LanguageModel` and the scripted double have it."""

    name: str

    @property
    def capabilities(self) -> frozenset[str]: ...
    def generate(self, prompts: list[str], sampling: Sampling) -> list[Generation]: ...
    def chat(self, messages: list[Message], sampling: Sampling) -> Generation: ...
    def stream(self, prompt: str, sampling: Sampling) -> Iterator[str]: ...
    def stream_chat(self, messages: list[Message], sampling: Sampling) -> Iterator[str]: ...


class Queue:
    """Lets one request at a time to the model, first come, first served."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        if self.waiting >= WAITING_LIMIT:
            raise ApiError(503, "Too many requests are waiting; try again later.", code="overloaded")
        self.waiting += 1
        try:
            async with self.lock:
                yield
        finally:
            self.waiting -= 1


class Service:
    """The endpoints over one model."""

    def __init__(self, model: Servable, name: str) -> None:
        self.model, self.name, self.queue, self.created = model, name, Queue(), int(time.time())

    def models(self) -> dict[str, Any]:
        card = {"id": self.name, "object": "model", "created": self.created, "owned_by": "fourfold"}
        return {"object": "list", "data": [card]}

    async def chat(self, request: ChatRequest) -> Any:
        self.check(request)
        if "chat" not in self.model.capabilities:
            raise ApiError(400, f"'{self.name}' has no chat template; use /v1/completions.", code="no_chat_template")
        messages, sampling = [message.message() for message in request.messages], request.sampling(request.limit)
        if request.stream:
            return await self.streamed("chat.completion.chunk", lambda: self.model.stream_chat(messages, sampling))
        async with self.queue.turn():
            answer = await self.work(lambda: self.model.chat(messages, sampling))
        choice = {"message": {"role": "assistant", "content": answer.text}}
        return self.answered("chat.completion", "chatcmpl", [answer], [choice])

    async def complete(self, request: CompletionRequest) -> Any:
        self.check(request)
        prompts, sampling = request.prompts, request.sampling(request.max_tokens)
        if request.stream:
            if len(prompts) != 1:
                raise ApiError(400, "A stream takes one prompt.", param="prompt", code="unsupported")
            return await self.streamed("text_completion", lambda: self.model.stream(prompts[0], sampling))
        async with self.queue.turn():
            answers = await self.work(lambda: self.model.generate(prompts, sampling))
        return self.answered("text_completion", "cmpl", answers, [{"text": answer.text} for answer in answers])

    def check(self, request: SamplingFields) -> None:
        if request.model not in (None, self.name):
            raise ApiError(404, f"There is no model '{request.model}' here, only '{self.name}'.",
                           param="model", code="model_not_found")  # fmt: skip
        request.refuse()

    async def work(self, call: Callable[[], Any]) -> Any:
        """Run the model off the event loop; its user errors are the client's."""
        try:
            return await run_in_threadpool(call)
        except UserError as error:
            raise ApiError(400, str(error)) from None

    def answered(self, kind: str, prefix: str, answers: list[Generation], choices: list[Any]) -> dict[str, Any]:
        written = sum(len(answer.ids) for answer in answers)
        read = sum(answer.prompt_tokens for answer in answers)
        marked = [
            {"index": index, **choice, "logprobs": None, "finish_reason": answer.finish_reason}
            for index, (choice, answer) in enumerate(zip(choices, answers, strict=True))
        ]
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        return {**self.head(kind, prefix), "choices": marked, "usage": usage}

    def head(self, kind: str, prefix: str) -> dict[str, Any]:
        return {"id": f"{prefix}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": self.name}

    async def streamed(self, kind: str, start: Callable[[], Iterator[str]]) -> StreamingResponse:
        """Server-sent events. The first is made here, so that an early failure is still an HTTP error."""
        events = self.events(kind, start)
        first = await anext(events)

        async def all_events() -> AsyncIterator[str]:
            try:
                yield first
                async for event in events:
                    yield event
            finally:
                await events.aclose()

        return StreamingResponse(all_events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def events(self, kind: str, start: Callable[[], Iterator[str]]) -> AsyncGenerator[str]:
        """The events of one answer, holding the model from the first to the last."""
        chat = kind == "chat.completion.chunk"
        head = self.head(kind, "chatcmpl" if chat else "cmpl")

        def event(text: str | None, reason: str | None = None, **delta: str) -> str:
            content = delta | ({} if text is None else {"content": text})
            part = {"delta": content} if chat else {"text": text or ""}
            return _event({**head, "choices": [{"index": 0, **part, "logprobs": None, "finish_reason": reason}]})

        async with self.queue.turn():
            pieces = _Pieces(await self.work(start))
            piece = await self.work(pieces.next)
            if chat:
                yield event("", role="assistant")
            try:
                while piece is not None:
                    yield event(piece)
                    piece = await self.work(pieces.next)
            except ApiError as error:
                yield _event(json.loads(bytes(error.response().body)))
            else:
                yield event(None, pieces.finish_reason)
        yield "data: [DONE]\n\n"


class _Pieces:
    """A stream of text, and why it ended where the stream says so (its return value)."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self.pieces = pieces
        self.finish_reason = "stop"

    def next(self) -> str | None:
        try:
            return next(self.pieces)
        except StopIteration as end:
            if isinstance(end.value, Generation):
                self.finish_reason = end.value.finish_reason
            return None


def create_app(model: Servable, *, api_key: str | None = None, body_limit: int = BODY_LIMIT) -> FastAPI:
    """The server's application for one model. With `api_key`, clients must send it as bearer token."""
    app = FastAPI(title="Fourfold", docs_url=None, redoc_url=None, openapi_url=None)
    service = Service(model, model.name)
    app.state.model_name = model.name
    app.add_middleware(Guard, api_key=api_key, body_limit=body_limit)
    app.add_api_route("/health", lambda: {"status": "ok", "model": service.name})
    app.add_api_route("/v1/models", service.models)
    app.add_api_route("/v1/chat/completions", service.chat, methods=["POST"], response_model=None)
    app.add_api_route("/v1/completions", service.complete, methods=["POST"], response_model=None)

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"] if part != "body") or None
        sentence = f"'{param}': {first['msg']}." if param else f"{first['msg']}."
        return ApiError(400, sentence, param=param).response()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, ApiError):  # raised while FastAPI was reading the body
            return error.__cause__.response()
        return ApiError(error.status_code, f"{error.detail}: {request.method} {request.url.path}").response()

    @app.exception_handler(Exception)
    async def own_error(request: Request, error: Exception) -> JSONResponse:
        return ApiError(500, "The server failed on this request.").response()

    return app


def _event(value: object) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
