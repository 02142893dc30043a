"""POST /v1/completions with `echo` and nothing to write: how probable each token of a given text is.

Letters: N hidden states, M targets, D hidden size, K alternatives.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from torch import Tensor

from fourfold.inference import Span, Token, judge_shared
from fourfold.models import CausalLM
from fourfold.serving.answering import note, told, while_connected
from fourfold.serving.errors import ApiError
from fourfold.serving.loaded import Loaded, Voice
from fourfold.serving.logprobs import TextLogprobs, spelt
from fourfold.serving.requests import CompletionRequest
from fourfold.serving.service import Service

POSITIONS_AT_ONCE = 256
"""Positions whose logits are held together."""


async def echo(service: Service, request: Request, body: CompletionRequest, rows: Sequence[list[int]]) -> Response:
    """The log-probabilities of each prompt's tokens; the first token has nothing before it and no probability."""
    loaded = service.loaded()
    voice = loaded.voice(body.model)
    alternatives = body.logprobs or 0
    try:
        with service.admitted(len(rows)):
            choices = await while_connected(request, asyncio.to_thread(_choices, loaded, voice, rows, alternatives))
    except Exception as error:
        raise told(error) from error
    tokens = sum(map(len, rows))
    note(request, model=voice.name, prompt_tokens=tokens, texts=len(rows))
    service.metrics.read.add(tokens)
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    head = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
    return JSONResponse({**head, "model": voice.name, "choices": choices, "usage": usage})


def _choices(loaded: Loaded, voice: Voice, rows: Sequence[list[int]], alternatives: int) -> list[dict[str, Any]]:
    texts = zip(rows, _read(loaded, voice, rows, alternatives), strict=True)
    return [_choice(voice, index, ids, tokens, alternatives) for index, (ids, tokens) in enumerate(texts)]


def _choice(voice: Voice, index: int, ids: list[int], tokens: Sequence[Token], alternatives: int) -> dict[str, Any]:
    spelled = [spelt(id, voice.tokenizer) for id in ids]
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


def _read(loaded: Loaded, voice: Voice, rows: Sequence[list[int]], alternatives: int) -> list[list[Token]]:
    """The tokens of texts, each under those before it; what the texts of a request share is read once."""
    model = loaded.model
    assert model is not None
    context = model.module.context
    for ids in rows:
        if context is not None and len(ids) > context:
            raise ApiError(400, f"The text has {len(ids)} tokens, and the context {context}.", param="prompt")
        if not ids:
            raise ApiError(400, "There is no text to read.", param="prompt")
    gates = None if voice.gates is None else torch.tensor([voice.gates], device=model.device)
    judge = partial(_tokens, model.module, alternatives)
    longer = [Span(ids=ids, start=1) for ids in rows if len(ids) > 1]
    found = iter(judge_shared(model.module, longer, model.device, judge, gates))
    return [[Token(ids[0], 0.0), *(next(found) if len(ids) > 1 else ())] for ids in rows]


def _tokens(
    model: CausalLM, alternatives: int, hidden: Tensor, rows: Sequence[int], targets: Sequence[int]
) -> list[Token]:
    """The M targets after (N, D) hidden states, of which number m follows on state `rows[m]`."""
    found: dict[int, Token] = {}
    for start in range(0, len(hidden), POSITIONS_AT_ONCE):
        told = model.logits(hidden[start : start + POSITIONS_AT_ONCE]).float().log_softmax(-1)
        best, which = told.topk(min(alternatives, told.shape[-1]))  # (N, K)
        for number, row in enumerate(row - start for row in rows):
            if 0 <= row < len(told):
                others = tuple(zip(which[row].tolist(), best[row].tolist(), strict=True))
                found[number] = Token(targets[number], float(told[row, targets[number]]), alternatives=others)
    return [found[number] for number in range(len(targets))]
