"""Given texts are read, not written: how probable each of their tokens is, a call in every step of the engine.

Letters: N hidden states, D hidden size, K alternatives, M targets.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

import torch
from torch import Tensor

from fourfold.errors import FourfoldError
from fourfold.inference.engine import Request, Search, Token
from fourfold.inference.results import Sampling
from fourfold.inference.sampling import Sampler
from fourfold.inference.scoring import Span
from fourfold.inference.sharing import Walk
from fourfold.inference.strategies.search import Writer
from fourfold.models import CausalLM

PIECE = 256
"""Tokens of a lone text read in one step, and rows of logits that are held."""


def reading(
    writer: Writer,
    texts: Sequence[Sequence[int]],
    *,
    alternatives: int = 0,
    adapters: Sequence[float] | None = None,
) -> Request:
    """What the engine is asked for the log-probabilities of the tokens of `texts`, each of two ids or more.

    It gives a token for every id but the first of each text, text after text, with so many `alternatives` beside it.
    What the texts share at their beginning is read once.
    """
    longest = max(texts, key=len)
    held = sum(map(len, texts)) + (len(longest) if len(texts) > 1 else 0)  # what is shared stands once more

    def run(request: Request) -> Generator[Sequence[Token]]:
        return read_texts(writer.module, texts, request, writer.device)

    return Request(
        ids=longest[:-1], max_tokens=1, sampler=Sampler(Sampling()), adapters=adapters, top_alternatives=alternatives,
        search=Search(run, rows=1, extra=held - len(longest)),
    )  # fmt: skip


def read_texts(
    model: CausalLM, texts: Sequence[Sequence[int]], request: Request, device: torch.device
) -> Generator[Sequence[Token]]:
    """Nothing after each call but the last; then the tokens of all texts."""
    gates = None if request.adapters is None else torch.tensor([list(request.adapters)], device=device)
    spans = [Span(ids=list(ids), start=1) for ids in texts]
    walk = Walk(model, spans, device, partial(_tokens, model, request.top_alternatives), gates)
    for _ in walk.calls(PIECE):
        yield ()
    yield [*(token for tokens in walk.results() for token in tokens), Token(None, 0.0, "length")]


def _tokens(
    model: CausalLM, alternatives: int, hidden: Tensor, rows: Sequence[int], targets: Sequence[int]
) -> list[Token]:
    """The M targets after (N, D) hidden states, of which number m follows on state `rows[m]`."""
    found: dict[int, Token] = {}
    for start in range(0, len(hidden), PIECE):
        told = model.logits(hidden[start : start + PIECE]).float().log_softmax(-1)
        if bool(told.isnan().any()):
            raise FourfoldError("the model's output for this text is not a number.")
        best, which = told.topk(min(alternatives, told.shape[-1]))  # (N, K)
        for number, row in enumerate(row - start for row in rows):
            if 0 <= row < len(told):
                others = tuple(zip(which[row].tolist(), best[row].tolist(), strict=True))
                found[number] = Token(targets[number], float(told[row, targets[number]]), alternatives=others)
    return [found[number] for number in range(len(targets))]
