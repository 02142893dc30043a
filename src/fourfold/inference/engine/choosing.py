"""From logits to tokens: each row by its own sampler, and whoever fails fails alone.

Letters: B rows, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fourfold.errors import FourfoldError
from fourfold.inference.engine.request import Token
from fourfold.inference.engine.row import Row
from fourfold.inference.sampling import Sampler, choose_many


class NotANumber(FourfoldError):
    """The model's output for a request is no distribution."""

    def __init__(self) -> None:
        super().__init__("the model's output for this request is not a number, so no token can be chosen.")


def choose(rows: Sequence[Row], logits: Tensor) -> list[Token | Exception]:
    """A token for each row from (B, V) fp32 logits, or what went wrong with it."""
    totals = logits.logsumexp(-1)
    sound = totals.isfinite().tolist()
    chosen = _chosen(rows, logits, sound)
    ids = torch.tensor([id if isinstance(id, int) else 0 for id in chosen], device=logits.device)
    log_probs = (logits.gather(1, ids[:, None])[:, 0] - totals).tolist()
    return [
        id if isinstance(id, Exception) else Token(id, log_probs[at], None, _alternatives(row, logits[at], totals[at]))
        for at, (row, id) in enumerate(zip(rows, chosen, strict=True))
    ]


def _chosen(rows: Sequence[Row], logits: Tensor, sound: Sequence[bool]) -> list[int | Exception]:
    chosen: list[int | Exception] = [NotANumber()] * len(rows)
    together: dict[int, tuple[Sampler, Sequence[int]]] = {}
    for at, row in enumerate(rows):
        sampler = row.request.sampler
        if sound[at] and isinstance(sampler, Sampler):
            together[at] = sampler, row.ids[row.prompt :] if sampler.changes_logits else ()
        elif sound[at]:
            try:
                chosen[at] = sampler.choose(logits[at])
            except Exception as error:  # a request's own: the others go on
                chosen[at] = error
    if together:
        part = logits if len(together) == len(rows) else logits[list(together)]
        for at, id in zip(together, choose_many(list(together.values()), part), strict=True):
            chosen[at] = id
    return chosen


def _alternatives(row: Row, logits: Tensor, total: Tensor) -> tuple[tuple[int, float], ...]:
    count = min(row.request.top_alternatives, len(logits))
    if not count:
        return ()
    best = logits.topk(count)
    return tuple(zip(best.indices.tolist(), (best.values - total).tolist(), strict=True))
