"""The decoding loop: a generator of tokens over a batch of requests.

Prompts are ragged rows of one batch; rows that end leave it. Everything the
loop knows of a model is the `CausalLM` protocol, so an n-gram decodes as a
transformer does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.inference.results import FinishReason
from fourfold.inference.sampling import Sampler
from fourfold.inference.scoring import ragged
from fourfold.models import CausalLM, EncoderDecoder, State, Step


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt and how to continue it."""

    ids: Sequence[int]
    max_tokens: int
    sampler: Sampler
    stop_ids: frozenset[int] = frozenset()
    source: Sequence[int] | None = None
    """What an encoder-decoder reads before it writes: of every request of a call, or of none."""
    whole: bool = False
    """The tokens of the prompt see each other (prefix decoders)."""


class Token(NamedTuple):
    """A token of one request, or its end (`id` None, with the reason)."""

    request: int
    id: int | None
    log_prob: float
    finish_reason: FinishReason | None


def decode(
    model: CausalLM, requests: Sequence[Request], device: torch.device, cancelled: set[int] | None = None
) -> Iterator[Token]:
    """Yield tokens of all requests as they are made; ends with one finishing `Token` a request.

    A request whose index the caller adds to `cancelled` ends silently at its next step.
    Raises UserError if a prompt leaves no room in the context.
    """
    cancelled = set() if cancelled is None else cancelled
    rooms = [_room(model, request) for request in requests]
    active = list(range(len(requests)))
    longest = max(len(request.ids) for request in requests)
    with torch.inference_mode():
        state = _start(model, requests, longest + max(rooms), device)
        logits = _read_prompts(model, requests, state, device)
    made: list[list[int]] = [[] for _ in requests]
    while active:
        ids, ended = [], []
        for row, index in enumerate(active):
            token = _next(requests[index], index, logits[row], made[index], rooms[index])
            if token.id is not None:
                made[index].append(token.id)
                yield token._replace(finish_reason=None)
            if token.finish_reason is not None and index not in cancelled:
                yield token._replace(id=None)
            if token.finish_reason is not None or index in cancelled:
                ended.append(row)
            ids.append(token.id or 0)
        kept = [row for row in range(len(active)) if row not in ended]
        active = [active[row] for row in kept]
        if active:
            with torch.inference_mode():
                if ended:
                    state = _keep(state, kept, device)
                step = Step(ids=torch.tensor([[ids[row]] for row in kept], device=device))
                logits = model.logits(model.hidden(step, state))[:, -1].float()
    state.free()


def _next(request: Request, index: int, logits: Tensor, made: list[int], room: int) -> Token:
    id = request.sampler.choose(logits, made)
    log_prob = float(logits[id] - logits.logsumexp(-1))
    if id in request.stop_ids:
        return Token(index, None, log_prob, "stop")
    return Token(index, id, log_prob, "length" if len(made) + 1 >= room else None)


def _keep(state: State, rows: list[int], device: torch.device) -> State:
    kept = state.fork(torch.tensor(rows, device=device))
    state.free()
    return kept


def _room(model: CausalLM, request: Request) -> int:
    """Tokens this request may make."""
    if model.context is None:
        return request.max_tokens
    room = model.context - len(request.ids)
    if room < 1:
        raise UserError(
            "the prompt does not fit the model's context",
            expected=f"fewer than {model.context} tokens",
            got=len(request.ids),
            advice="Shorten the prompt or the conversation.",
        )
    return min(request.max_tokens, room)


def _start(model: CausalLM, requests: Sequence[Request], capacity: int, device: torch.device) -> State:
    """A state that holds no token of an answer yet, but the source where there is one."""
    sources = [request.source for request in requests if request.source is not None]
    if not sources:
        return model.new_state(len(requests), capacity)
    assert isinstance(model, EncoderDecoder)
    source, lengths = ragged(sources, device)
    return model.start(source, lengths if len(sources) > 1 else None, capacity)


def _read_prompts(model: CausalLM, requests: Sequence[Request], state: State, device: torch.device) -> Tensor:
    """(B, V) fp32 logits after each prompt."""
    rows, lengths = ragged([request.ids for request in requests], device)
    prefix = None
    if any(request.whole for request in requests):
        prefix = torch.arange(rows.shape[1], device=device) < lengths[:, None]
    hidden = model.hidden(Step(ids=rows, lengths=lengths, prefix=prefix), state)
    last = hidden[torch.arange(len(requests), device=device), lengths - 1]
    return model.logits(last).float()
