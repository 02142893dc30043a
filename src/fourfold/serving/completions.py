"""POST /v1/completions: texts to be continued."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request, Response

from fourfold.inference import Sampling
from fourfold.serving.answering import respond, told
from fourfold.serving.echoing import echo
from fourfold.serving.errors import ApiError
from fourfold.serving.loaded import Loaded, Voice
from fourfold.serving.logprobs import TextLogprobs
from fourfold.serving.requests import CompletionRequest
from fourfold.serving.service import Service
from fourfold.serving.writing import Piece, Work, check_length, plan


async def complete(service: Service, request: Request, body: CompletionRequest) -> Response:
    """Continue each prompt, or tell how probable it is."""
    loaded = service.loaded()
    voice = loaded.voice(body.model)
    check_length(service, body.max_tokens)
    body.check_echo()
    prompts, most = body.prompts(), service.limits.choices
    if len(prompts) * body.sampled > most:
        asked = len(prompts) * body.sampled
        raise ApiError(400, f"One request may ask for {most} answers, not {asked}.", param="prompt")
    sampling = body.sampling(
        body.max_tokens or service.limits.answer_tokens, alternatives=body.logprobs or 0, draft=loaded.draft
    )
    if body.echo:
        return await echo(service, request, body, await asyncio.to_thread(_rows, loaded, voice, prompts))
    try:
        work = await asyncio.to_thread(_work, loaded, voice, body, prompts, sampling)
    except Exception as error:
        raise told(error) from error
    form = TextForm(work, body.logprobs)
    return await respond(service, request, work, form, stream=body.stream, usage=body.wants_usage)


def _work(
    loaded: Loaded, voice: Voice, body: CompletionRequest, prompts: list[str | list[int]], sampling: Sampling
) -> Work:
    return plan(loaded, voice, _rows(loaded, voice, prompts), sampling, body.sampled, body.n)


def _rows(loaded: Loaded, voice: Voice, prompts: list[str | list[int]]) -> list[list[int]]:
    assert loaded.model is not None
    size = loaded.model.module.vocabulary_size
    rows = []
    for prompt in prompts:
        ids = voice.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        if any(id >= size for id in ids):
            raise ApiError(400, f"Token ids of this model are below {size}.", param="prompt")
        rows.append(ids)
    return rows


class TextForm:
    """Choices as texts."""

    prefix, whole_kind, chunk_kind = "cmpl", "text_completion", "text_completion"

    def __init__(self, work: Work, alternatives: int | None) -> None:
        count = len(work.requests)
        self.texts, self.reasons = [""] * count, [""] * count
        self.readers = None
        if alternatives is not None:
            self.readers = [TextLogprobs(work.voice.tokenizer, alternatives) for _ in range(count)]
        self.logprobs: list[dict[str, Any]] = [{} for _ in range(count)]

    def opening(self, index: int) -> list[dict[str, Any]]:
        return []

    def take(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        self.texts[index] += piece.text
        self.reasons[index] = piece.finish_reason or ""
        found = None
        if self.readers is not None:
            found = self.readers[index].take(piece.tokens)
            self.logprobs[index] = _joined(self.logprobs[index], found)
        if not (piece.text or piece.finish_reason or (found and piece.tokens)):
            return []
        return [{"index": index, "text": piece.text, "logprobs": found, "finish_reason": piece.finish_reason}]

    def whole(self, index: int) -> dict[str, Any]:
        logprobs = self.logprobs[index] if self.readers is not None else None
        reason = self.reasons[index]
        return {"index": index, "text": self.texts[index], "logprobs": logprobs, "finish_reason": reason}


def _joined(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: [*before.get(name, ()), *values] if values is not None else None for name, values in after.items()}
