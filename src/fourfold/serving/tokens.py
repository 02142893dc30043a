"""POST /tokenize and /detokenize."""

from __future__ import annotations

import asyncio

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from fourfold.inference import TextTokenizer
from fourfold.serving.answering import told
from fourfold.serving.chat import chat_ids
from fourfold.serving.errors import ApiError
from fourfold.serving.loaded import Loaded
from fourfold.serving.requests import ChatRequest, DetokenizeRequest, TokenizeRequest
from fourfold.serving.service import Service
from fourfold.serving.tool_formats import tool_format


async def tokenize(service: Service, request: Request, body: TokenizeRequest) -> Response:
    """The ids a prompt or a conversation is read as."""
    loaded = service.loaded()
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "Send either a prompt or messages.", param="prompt")
    try:
        ids, most = await asyncio.to_thread(_ids, service, loaded, body)
    except Exception as error:
        raise told(error) from error
    return JSONResponse({"tokens": ids, "count": len(ids), "max_model_len": most})


async def detokenize(service: Service, request: Request, body: DetokenizeRequest) -> Response:
    """The text of ids."""
    tokenizer, size, _ = _tokenizer(service.loaded(), body.model)
    if any(id >= size for id in body.tokens):
        raise ApiError(400, f"Token ids of this model are below {size}.", param="tokens")
    return JSONResponse({"prompt": await asyncio.to_thread(tokenizer.decode, body.tokens)})


def _ids(service: Service, loaded: Loaded, body: TokenizeRequest) -> tuple[list[int], int | None]:
    tokenizer, _, most = _tokenizer(loaded, body.model)
    if body.prompt is not None:
        return tokenizer.encode(body.prompt), most
    voice = loaded.voice(body.model)
    if voice.tokenizer.chat_template is None:
        raise ApiError(400, f"'{voice.name}' has no chat template; send a prompt.", code="no_chat_template")
    asked = ChatRequest(messages=body.messages or [])
    return chat_ids(service, voice, asked, tool_format(voice.tokenizer.chat_template)), most


def _tokenizer(loaded: Loaded, name: str | None) -> tuple[TextTokenizer, int, int | None]:
    """The tokenizer under a name, the size of its model's vocabulary and context."""
    encoder = loaded.encoder
    if encoder is not None and (name == encoder.name or not loaded.voices):
        return encoder.tokenizer, encoder.module.vocabulary_size, encoder.module.context
    voice = loaded.voice(name)
    assert loaded.model is not None
    module = loaded.model.module
    return voice.tokenizer, module.vocabulary_size, module.context
