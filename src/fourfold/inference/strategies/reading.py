"""A given text is read, not written: how probable each of its tokens is, a piece of it in every step of the engine.

Letters: T tokens of a piece, V vocabulary size, K alternatives.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from fourfold.errors import FourfoldError
from fourfold.inference.engine import Request, Search, Token
from fourfold.inference.results import Sampling
from fourfold.inference.sampling import Sampler
from fourfold.inference.strategies.reader import Reader
from fourfold.inference.strategies.search import Writer
from fourfold.models import CausalLM

PIECE = 256
"""Tokens read in one step: others wait no longer than that, and so many rows of logits are held."""


def reading(
    writer: Writer, ids: Sequence[int], *, alternatives: int = 0, adapters: Sequence[float] | None = None
) -> Request:
    """What the engine is asked for the log-probabilities of `ids` (two or more), each under those before it.

    It gives a token for every id but the first, with so many `alternatives` beside it. Keys and values are held in the
    number type of writing, so what is told is what the engine would have written with.
    """
    *before, last = ids

    def run(request: Request) -> Generator[Sequence[Token]]:
        return read_text(writer.module, request, last, writer.device)

    return Request(
        ids=before, max_tokens=1, sampler=Sampler(Sampling()), adapters=adapters, top_alternatives=alternatives,
        search=Search(run, rows=1),
    )  # fmt: skip


def read_text(model: CausalLM, request: Request, last: int, device: torch.device) -> Generator[Sequence[Token]]:
    """Tokens for all of `request.ids` but the first, and then for `last`."""
    reader = Reader(model, request, device)
    following = [*request.ids[1:], last]
    for start in range(0, len(following), PIECE):
        seen = reader.read([request.ids[start : start + PIECE]], last=False)
        yield list(_told(seen.logits[0].log_softmax(-1), following[start : start + PIECE], request.top_alternatives))
    reader.free()
    yield [Token(None, 0.0, "length")]


def _told(log_probs: Tensor, ids: list[int], alternatives: int) -> Generator[Token]:
    """A token for each row of (T, V) log-probabilities."""
    of_ids = log_probs.gather(1, torch.tensor(ids, device=log_probs.device)[:, None])[:, 0]
    if bool(of_ids.isnan().any()):
        raise FourfoldError("the model's output for this text is not a number.")
    best = log_probs.topk(min(alternatives, log_probs.shape[-1]))  # (T, K)
    rows = zip(ids, of_ids.tolist(), best.indices.tolist(), best.values.tolist(), strict=True)
    for id, log_prob, which, values in rows:
        yield Token(id, log_prob, alternatives=tuple(zip(which, values, strict=True)))
