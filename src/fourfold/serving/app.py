"""The application: which path leads where, and how every error is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from fourfold import __version__
from fourfold.serving import answers
from fourfold.serving.answering import told
from fourfold.serving.chat import chat
from fourfold.serving.completions import complete
from fourfold.serving.embeddings import embed
from fourfold.serving.errors import ApiError, shown
from fourfold.serving.guards import Guard
from fourfold.serving.journal import Journal
from fourfold.serving.keys import Keys
from fourfold.serving.limits import Limits
from fourfold.serving.loaded import Loaded
from fourfold.serving.metrics import CONTENT_TYPE
from fourfold.serving.page import POLICY, docs_page
from fourfold.serving.requests import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    TokenizeRequest,
)
from fourfold.serving.service import Service
from fourfold.serving.tokens import detokenize, tokenize

DESCRIPTION = "Language models on this machine behind the interface of the OpenAI API."
EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
EVENTS = {"content": {"text/event-stream": {"schema": EVENT}}}
"""What a streamed answer is: JSON in each event's data, then [DONE]."""
REFUSALS = (400, 401, 403, 404, 408, 413, 429, 500, 503, 504)


def create_app(
    load: Callable[[], Loaded],
    *,
    name: str = "model",
    keys: Keys | None = None,
    limits: Limits | None = None,
    origins: Sequence[str] = (),
) -> FastAPI:
    """The server's application. `load` runs on a thread after the start; until it is done all but /health is 503.

    With `keys`, clients must send one as bearer token. Web pages of `origins` may call it.
    """
    limits = limits or Limits()
    service = Service(load, name, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    app = FastAPI(title="Fourfold", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None,
                  lifespan=lifespan)  # fmt: skip
    app.state.service = service
    _add_posts(app, service)
    _add_gets(app, service)
    _add_errors(app)
    app.add_middleware(Guard, keys=keys, limits=limits)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "POST"],
                           allow_headers=["Authorization", "Content-Type"])  # fmt: skip
    app.add_middleware(Journal, metrics=service.metrics)
    return app


def _add_posts(app: FastAPI, service: Service) -> None:
    def options(model: Any, **content: Any) -> dict[str, Any]:
        return {"response_model": None, "responses": {200: {"model": model, **content}, **answers.errors(*REFUSALS)}}

    @app.post("/v1/chat/completions", **options(answers.ChatCompletion, **EVENTS))
    async def chat_completions(request: Request, body: ChatRequest) -> Response:
        """The assistant's next turn; as server-sent events with `stream`."""
        return await chat(service, request, body)

    @app.post("/v1/completions", **options(answers.TextCompletion, **EVENTS))
    async def completions(request: Request, body: CompletionRequest) -> Response:
        """Continue texts; as server-sent events with `stream`."""
        return await complete(service, request, body)

    @app.post("/v1/embeddings", **options(answers.Embeddings))
    async def embeddings(request: Request, body: EmbeddingRequest) -> Response:
        """One vector a text."""
        return await embed(service, request, body)

    @app.post("/tokenize", **options(answers.Tokens))
    async def tokens(request: Request, body: TokenizeRequest) -> Response:
        """The ids a prompt or a conversation is read as."""
        return await tokenize(service, request, body)

    @app.post("/detokenize", **options(answers.Text))
    async def text(request: Request, body: DetokenizeRequest) -> Response:
        """The text of ids."""
        return await detokenize(service, request, body)


def _add_gets(app: FastAPI, service: Service) -> None:
    refusals = answers.errors(401, 403, 404, 503)

    def card(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": service.created, "owned_by": "fourfold"}

    @app.get("/v1/models", response_model=answers.ModelList, responses=refusals)
    async def models() -> dict[str, Any]:
        """What may stand in the field `model`: the model, its adapters, the encoder."""
        return {"object": "list", "data": [card(name) for name in service.loaded().names]}

    @app.get("/v1/models/{name}", response_model=answers.ModelCard, responses=refusals)
    async def model(name: str) -> dict[str, Any]:
        """One of them."""
        loaded = service.loaded()
        if name not in loaded.names:
            raise loaded.unknown(name)
        return card(name)

    @app.get("/health", response_model=answers.Health, responses={503: {"model": answers.Health}})
    async def health() -> Response:
        """200 when requests are answered; 503 while the server loads or drains."""
        status = {"status": service.status, "model": service.name}
        return JSONResponse(status, 200 if service.status == "ok" else 503)

    @app.get("/metrics", response_class=PlainTextResponse, responses=answers.errors(401, 403))
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return PlainTextResponse(await asyncio.to_thread(service.page), media_type=CONTENT_TYPE)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()), headers=POLICY)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        return invalid(error).response()

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        cause = error.__cause__
        if isinstance(cause, ApiError):  # raised while FastAPI was reading the body
            return cause.response()
        if isinstance(cause, RecursionError):
            return ApiError(400, "The body is nested too deeply.").response()
        return ApiError(error.status_code, f"{error.detail}: {request.method} {shown(request.url.path)}.").response()

    @app.exception_handler(Exception)
    async def own_error(request: Request, error: Exception) -> JSONResponse:
        return told(error).response()


def invalid(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong with a body, in a sentence."""
    found = error.errors()
    # Of a union every branch complains; the one that got furthest knows best.
    first = max(found, key=lambda item: len(item["loc"])) if found else {"loc": (), "msg": "not valid"}
    named = [str(part) for part in first["loc"] if part != "body"]
    param = shown(".".join(named)) or None
    message = shown(str(first["msg"]), 300).rstrip(".")
    return ApiError(400, f"'{param}': {message}." if param else f"{message}.", param=param)
