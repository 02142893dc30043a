"""A plain engine: every running request takes its own step in turn. The place of the batching engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.inference import FinishReason, Sampler
from fourfold.inference.scoring import ragged
from fourfold.models import CausalLM, EncoderDecoder, State, Step


class Token(NamedTuple):
    """A token, or the end of an answer (`id` None, with the reason)."""

    id: int | None
    log_prob: float
    finish_reason: FinishReason | None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    ids: Sequence[int]
    max_tokens: int
    sampler: Sampler
    stop_ids: frozenset[int] = frozenset()
    source: Sequence[int] | None = None
    whole: bool = False
    adapters: tuple[float, ...] | None = None
    top_alternatives: int = 0


class EngineCounts(NamedTuple):
    running: int
    waiting: int


class Running:
    def __init__(self, engine: Engine, request: Request) -> None:
        self.engine, self.request = engine, request
        self.state: State | None = None
        self.made = 0
        self.last = -1
        self.out: deque[Token] = deque()
        self.error: Exception | None = None
        self.over = False

    def take(self) -> list[Token]:
        """What was made since the last call; raises the request's own error."""
        found = []
        while self.out:
            found.append(self.out.popleft())
        if not found and self.error is not None:
            raise self.error
        return found

    def cancel(self) -> None:
        self.over = True


class Engine:
    def __init__(self, module: CausalLM, device: torch.device) -> None:
        self.module, self.device = module, device
        self.running: list[Running] = []
        self.lock = Lock()

    def submit(self, request: Request) -> Running:
        context = self.module.context
        if context is not None and len(request.ids) >= context:
            raise UserError(
                "the prompt does not fit the model's context",
                expected=f"fewer than {context} tokens", got=len(request.ids), advice="Shorten the prompt.",
            )  # fmt: skip
        running = Running(self, request)
        with self.lock:
            self.running.append(running)
        return running

    def step(self) -> bool:
        with self.lock:
            rows = list(self.running)
        for row in rows:
            if not row.over:
                try:
                    self._advance(row)
                except Exception as error:
                    row.error, row.over = error, True
            if row.over:
                if row.state is not None:
                    row.state.free()
                with self.lock:
                    self.running.remove(row)
        return bool(rows)

    def counts(self) -> EngineCounts:
        return EngineCounts(len(self.running), 0)

    @torch.inference_mode()
    def _advance(self, row: Running) -> None:
        request = row.request
        logits = self._logits(row)
        id = request.sampler.choose(logits)
        scores = logits.log_softmax(-1)
        best = scores.topk(request.top_alternatives) if request.top_alternatives else None
        alternatives = () if best is None else tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        row.made, row.last = row.made + 1, id
        if id in request.stop_ids:
            row.out.append(Token(None, float(scores[id]), "stop"))
            row.over = True
            return
        row.out.append(Token(id, float(scores[id]), None, alternatives))
        context = self.module.context
        if row.made >= request.max_tokens or (context is not None and len(request.ids) + row.made >= context):
            row.out.append(Token(None, 0.0, "length"))
            row.over = True

    def _logits(self, row: Running) -> Tensor:
        request = row.request
        gates = None if request.adapters is None else torch.tensor([request.adapters], device=self.device)
        if row.state is None:
            capacity = len(request.ids) + request.max_tokens
            if request.source is not None:
                assert isinstance(self.module, EncoderDecoder)
                source, _ = ragged([request.source], self.device)
                row.state = self.module.start(source, None, capacity)
            else:
                row.state = self.module.new_state(1, min(capacity, self.module.context or capacity))
            ids = torch.tensor([list(request.ids)], device=self.device)
            prefix = torch.ones_like(ids, dtype=torch.bool) if request.whole else None
            step = Step(ids=ids, prefix=prefix, adapters=gates)
        else:
            step = Step(ids=torch.tensor([[row.last]], device=self.device), adapters=gates)
        return self.module.logits(self.module.hidden(step, row.state)[:, -1])[0].float()
