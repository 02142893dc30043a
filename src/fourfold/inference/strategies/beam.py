"""Beam search: several hypotheses side by side, the most probable finished one wins.

Letters: B beams, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fourfold.inference.choices import Beam
from fourfold.inference.engine import Request, Token
from fourfold.inference.results import FinishReason
from fourfold.inference.strategies.reader import Reader
from fourfold.models import CausalLM


@dataclass(frozen=True)
class Hypothesis:
    """A beginning of an answer."""

    total: float = 0.0
    """Sum of its log-probabilities, that of an end token among them."""
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    end: FinishReason | None = None
    tokens: int = 0
    """With the end token, which is not among `ids`."""

    def score(self, length_penalty: float) -> float:
        """Total / tokens ** penalty: the mean for 1, the sum for 0."""
        return self.total / float(self.tokens**length_penalty)


def beam_search(model: CausalLM, request: Request, beam: Beam, device: torch.device) -> Generator[Sequence[Token]]:
    """Nothing a call, and at the end the best answer found (Lowerre 1976; Graves 2012).

    The length penalty is as in `transformers`. A hypothesis that ends leaves the beam; of each step's candidates only
    the `size` best may end.
    """
    reader, size = Reader(model, request, device, beam.size), beam.size
    running, finished = [Hypothesis()], list[Hypothesis]()
    logits = reader.read([request.ids]).logits[:, -1]
    for made in range(1, reader.room + 1):
        candidates = _candidates(running, logits, request.stop_ids, size, last=made == reader.room)
        ended = [c for _, c in candidates[:size] if c.end is not None]
        finished = sorted(finished + ended, key=lambda h: -h.score(beam.length_penalty))[:size]
        going = [(parent, c) for parent, c in candidates if c.end is None][:size]
        if not going or _settled(finished, going[0][1], beam):
            break
        yield ()
        running = [hypothesis for _, hypothesis in going]
        reader.fork([parent for parent, _ in going])
        logits = reader.read([[hypothesis.ids[-1]] for hypothesis in running]).logits[:, -1]
    reader.free()
    best = finished[0]
    yield [
        *(Token(id, log_prob) for id, log_prob in zip(best.ids, best.log_probs, strict=False)),
        Token(None, best.log_probs[-1], best.end),
    ]


def _candidates(
    running: Sequence[Hypothesis], logits: Tensor, stop_ids: frozenset[int], size: int, *, last: bool
) -> list[tuple[int, Hypothesis]]:
    """The best continuations of all beams with the beams they come from, so many that `size` of them go on."""
    log_probs = logits.log_softmax(-1)  # (B, V)
    totals = log_probs + torch.tensor([[h.total] for h in running], device=logits.device)
    wanted = min(max(2, 1 + len(stop_ids)) * size, totals.numel())
    best = totals.flatten().topk(wanted).indices.tolist()
    found = []
    for place in best:
        parent, id = divmod(place, logits.shape[-1])
        old, log_prob = running[parent], float(log_probs[parent, id])
        stops = id in stop_ids
        found.append(
            (
                parent,
                Hypothesis(
                    total=float(totals[parent, id]),
                    ids=old.ids if stops else [*old.ids, id],
                    log_probs=[*old.log_probs, log_prob],
                    end="stop" if stops else "length" if last else None,
                    tokens=old.tokens + 1,
                ),
            )
        )
    return found


def _settled(finished: Sequence[Hypothesis], best: Hypothesis, beam: Beam) -> bool:
    """Enough have ended, and none that goes on would beat the worst of them if it ended here."""
    if len(finished) < beam.size:
        return False
    return beam.early or best.score(beam.length_penalty) <= finished[-1].score(beam.length_penalty)
