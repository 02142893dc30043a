"""POST /v1/completions with `echo` and nothing to write: how probable each token of a given text is."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, islice
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from fourfold.inference import Token, reading
from fourfold.serving.answering import note, told, while_connected
from fourfold.serving.errors import ApiError
from fourfold.serving.loaded import Loaded, Voice
from fourfold.serving.logprobs import TextLogprobs, spelt
from fourfold.serving.requests import CompletionRequest
from fourfold.serving.service import Service

TOKENS_AT_ONCE = 8192
"""Of texts that are read together, where the model has no context."""


async def echo(service: Service, request: Request, body: CompletionRequest, rows: Sequence[list[int]]) -> Response:
    """The log-probabilities of each prompt's tokens; the first token has nothing before it and no probability."""
    loaded = service.loaded()
    voice = loaded.voice(body.model)
    _check(loaded, rows)
    try:
        with service.admitted(len(rows)):
            read = await while_connected(request, _read(service, loaded, voice, rows, body.logprobs or 0))
    except Exception as error:
        raise told(error) from error
    choices = [_choice(voice, index, tokens, body.logprobs or 0) for index, tokens in enumerate(read)]
    tokens = sum(map(len, rows))
    note(request, model=voice.name, prompt_tokens=tokens, texts=len(rows))
    service.metrics.read.add(tokens)
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    head = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
    return JSONResponse({**head, "model": voice.name, "choices": choices, "usage": usage})


def _check(loaded: Loaded, rows: Sequence[list[int]]) -> None:
    assert loaded.model is not None
    context, longest = loaded.model.module.context, max(map(len, rows), default=0)
    if not all(rows):
        raise ApiError(400, "There is no text to read.", param="prompt")
    if context is not None and longest > context:
        raise ApiError(400, f"The text has {longest} tokens, and the context {context}.", param="prompt")


async def _read(
    service: Service, loaded: Loaded, voice: Voice, rows: Sequence[list[int]], alternatives: int
) -> list[list[Token]]:
    """The tokens of each text, the first of it included."""
    model = loaded.model
    assert model is not None
    longer = [ids for ids in rows if len(ids) > 1]
    groups = list(_groups(longer, model.module.context or TOKENS_AT_ONCE))
    asked = [reading(model, group, alternatives=alternatives, adapters=voice.gates) for group in groups]
    found: list[list[Token]] = [[] for _ in asked]
    if asked:
        with service.stream(asked) as stream:
            while stream.open():
                for index, tokens, error in await stream.next():
                    if error is not None:
                        raise error
                    found[index] += [token for token in tokens if token.id is not None]
                    if tokens[-1].id is None:
                        stream.drop(index)
    told = chain.from_iterable(found)
    return [[Token(ids[0], 0.0), *islice(told, len(ids) - 1)] for ids in rows]


def _groups(rows: Sequence[list[int]], most: int) -> Iterator[list[list[int]]]:
    """Texts that are read together: neighbours of at most so many tokens, the longest counted twice."""
    group: list[list[int]] = []
    for ids in rows:
        if group and sum(map(len, group)) + len(ids) + max(map(len, (*group, ids))) > most:
            yield group
            group = []
        group.append(ids)
    if group:
        yield group


def _choice(voice: Voice, index: int, tokens: list[Token], alternatives: int) -> dict[str, Any]:
    spelled = [spelt(token.id, voice.tokenizer) for token in tokens if token.id is not None]
    found = TextLogprobs(voice.tokenizer, alternatives).take(tokens)
    found["token_logprobs"][:1] = [None]
    if found["top_logprobs"] is not None:
        found["top_logprobs"][:1] = [None]
    found["text_offset"] = _starts([raw for _, raw in spelled])
    text = b"".join(raw for _, raw in spelled).decode(errors="replace")
    return {"index": index, "text": text, "logprobs": found, "finish_reason": "length"}


def _starts(spelled: Sequence[bytes]) -> list[int]:
    """The character each token begins at; one that begins inside a character begins with it."""
    begun = accumulate((sum(map(_begins, raw)) for raw in spelled[:-1]), initial=0)
    inside = (bool(raw) and not _begins(raw[0]) for raw in spelled)
    return [max(0, place - 1) if within else place for place, within in zip(begun, inside, strict=True)]


def _begins(byte: int) -> bool:
    """Whether a character of UTF-8 begins with this byte."""
    return byte & 0xC0 != 0x80
