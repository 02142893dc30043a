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
from fourfold.inference.sampling import Sampler, choose_many, log_total


class NotANumber(FourfoldError):
    """The model's output for a request is no distribution."""

    def __init__(self) -> None:
        super().__init__("the model's output for this request is not a number, so no token can be chosen.")


def choose(rows: Sequence[Row], logits: Tensor) -> list[Token | Exception]:
    """A token for each row from (B, V) fp32 logits, or what went wrong with it."""
    totals = log_total(logits)[:, 0]
    sound = totals.isfinite().tolist()
    fine = [row for row, is_sound in zip(rows, sound, strict=True) if is_sound]
    left = iter(_chosen(fine, logits if len(fine) == len(rows) else logits[sound]))
    results = [next(left) if is_sound else NotANumber() for is_sound in sound]
    ids = torch.tensor([id if isinstance(id, int) else 0 for id in results], device=logits.device)
    log_probs = (logits.gather(1, ids[:, None])[:, 0] - totals).tolist()
    return [
        id if isinstance(id, Exception) else Token(id, log_probs[at], None, _alternatives(row, logits[at], totals[at]))
        for at, (row, id) in enumerate(zip(rows, results, strict=True))
    ]


def _chosen(rows: Sequence[Row], logits: Tensor) -> Sequence[int | Exception]:
    """All at once where the samplers are ours; one by one where they are not, or where all at once fails."""
    samplers = [row.request.sampler for row in rows]
    ours = [sampler for sampler in samplers if isinstance(sampler, Sampler)]
    if len(ours) == len(rows):
        past = [row.ids[row.prompt :] if own.changes_logits else () for row, own in zip(rows, ours, strict=True)]
        try:
            return choose_many(list(zip(ours, past, strict=True)), logits)
        except Exception as error:
            if len(rows) == 1:
                return [error]
    return [_alone(row, own) for row, own in zip(rows, logits, strict=True)]


def _alone(row: Row, logits: Tensor) -> int | Exception:
    try:
        return row.request.sampler.choose(logits, row.ids[row.prompt :])
    except Exception as error:  # a request's own: the others go on
        return error


def _alternatives(row: Row, logits: Tensor, total: Tensor) -> tuple[tuple[int, float], ...]:
    count = min(row.request.top_alternatives, len(logits))
    if not count:
        return ()
    best = logits.topk(count)
    return tuple(zip(best.indices.tolist(), (best.values - total).tolist(), strict=True))
