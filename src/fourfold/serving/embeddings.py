"""POST /v1/embeddings: one vector a text, by an encoder."""

from __future__ import annotations

import asyncio
import base64

import torch
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from fourfold.inference import TextEncoder
from fourfold.serving.answering import note, told, while_connected
from fourfold.serving.errors import ApiError
from fourfold.serving.requests import EmbeddingRequest
from fourfold.serving.service import Service


async def embed(service: Service, request: Request, body: EmbeddingRequest) -> Response:
    """Vectors of the encoder that is served; texts beyond its limit are cut there, as sentence encoders are used."""
    loaded = service.loaded()
    encoder = loaded.encoder
    if body.model is not None and body.model not in loaded.names:
        raise loaded.unknown(body.model)
    if encoder is None or body.model not in (None, encoder.name):
        other = f"ask for '{encoder.name}'" if encoder is not None else "start it with --embeddings MODEL"
        raise ApiError(400, f"'{body.model or loaded.names[0]}' makes no embeddings; {other}.",
                       param="model", code="unsupported")  # fmt: skip
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts or "" in texts:
        raise ApiError(400, "There is no text, or an empty one.", param="input")
    if len(texts) > service.limits.inputs:
        raise ApiError(400, f"One request may have {service.limits.inputs} texts, not {len(texts)}.", param="input")
    size = encoder.module.config.hidden_size
    if body.dimensions not in (None, size):
        raise ApiError(400, f"Vectors of '{encoder.name}' have {size} dimensions.", param="dimensions")
    try:
        with service.admitted(1):
            vectors, tokens = await while_connected(request, asyncio.to_thread(_vectors, encoder, texts))
    except Exception as error:
        raise told(error) from error
    note(request, model=encoder.name, prompt_tokens=tokens, texts=len(texts))
    service.metrics.read.add(tokens)
    base = body.encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if base else vector.tolist()}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": encoder.name, "usage": usage})


def _vectors(encoder: TextEncoder, texts: list[str]) -> tuple[torch.Tensor, int]:
    context = encoder.module.context
    limit = min((encoder.pooling.limit if encoder.pooling is not None else None) or context, context)
    tokens = sum(len(ids) for ids in encoder.tokenizer.encode_batch(texts, limit=limit))
    return encoder.embed(texts), tokens


def _base64(vector: torch.Tensor) -> str:
    return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()
