"""What is measured on a trained model; each measurement gives named numbers, and curves where it has any.

Letters: N windows, T tokens of a window.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.models.ngram import NGramLM
from fourfold.training import label_log_probs, rows_at_once
from fourfold.training.objectives import causal
from fourfold.workflow.claims.arrangements import HALVES, STREAM, arranged, middle
from fourfold.workflow.claims.data import ClaimData, stream_of
from fourfold.workflow.claims.sparsity import coverage_of, filled
from fourfold.workflow.claims.stretching import stretched

if TYPE_CHECKING:
    from fourfold.workflow.claims.spec import TrainingOptions

LENGTHS = (1, 2, 4)
"""Multiples of the trained length that `lengths` measures."""
POINTS = 32
"""Points of a curve over positions."""
CHOICES = 4
ROWS_AT_ONCE = 2048
"""Tokens of a forward pass."""
LEARNT = 0.05
"""Nats below the loss of token frequencies from which on a model has learnt anything about their order."""
SPIKE, BEFORE, SETTLED = 3.0, 50, 0.1
"""A gradient is a spike beyond so many times the median of so many steps before; the first share is not looked at."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model that was trained or counted, and what is known of it."""

    module: nn.Module
    data: ClaimData
    training: TrainingOptions
    seed: int
    tokens: int = 16384
    """Held-out tokens to predict."""
    log: Path | None = None
    """metrics.jsonl of its training."""
    diverged: bool = False
    scaling: str | None = None
    """How rotary positions are stretched beyond the trained length."""

    @property
    def guessing(self) -> float:
        """Nats a token of a model that knows nothing; a diverged run counts with it."""
        return math.log(self.data.tokenizer.vocabulary_size)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Named numbers, and named curves as pairs."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)


def held_out(subject: Subject) -> Measured:
    """`loss`: nats a token over windows of the trained length."""
    rows = subject.data.rows(subject.training.context, subject.tokens)
    return Measured(numbers={"loss": finite_mean(nats(subject, subject.module, rows, STREAM), subject)})


def stability(subject: Subject) -> Measured:
    """`failed`: 1 when the run diverged, or ended less than `LEARNT` below token frequencies; `spikes` in 100 steps;
    `train_loss`: the mean of the last tenth of the steps."""
    loss = held_out(subject).numbers["loss"]
    failed = subject.diverged or loss > subject.data.token_frequency_loss - LEARNT
    assert subject.log is not None  # an n-gram model has no training to be stable
    log = [json.loads(line) for line in subject.log.read_text("utf-8").splitlines()]
    losses = [step["loss"] for step in log[-max(1, len(log) // 10) :]]
    return Measured(
        numbers={
            "failed": float(failed),
            "spikes": spikes(np.asarray([step["gradient_norm"] for step in log])),
            "train_loss": subject.guessing if subject.diverged else float(np.mean(losses)),
        }
    )


def spikes(norms: NDArray[np.float64]) -> float:
    """Gradients of more than three times the median of the 50 steps before, in 100 steps."""
    first = max(1, round(SETTLED * len(norms)))
    watched = range(first, len(norms))
    found = sum(norms[at] > SPIKE * np.median(norms[max(0, at - BEFORE) : at]) for at in watched)
    return 100.0 * found / len(watched) if watched else 0.0


def lengths(subject: Subject) -> Measured:
    """`loss_1x`, `loss_2x`, `loss_4x`: the same held-out tokens predicted from ever longer windows.

    The tokens are the second half of a window of the trained length; a longer window has the same end and
    more text before. The curve is the mean at each place of the longest window.
    """
    context, longest = subject.training.context, LENGTHS[-1] * subject.training.context
    wanted = context - context // 2
    windows = subject.data.rows(longest, subject.tokens // wanted * longest)
    numbers, curve = {}, np.zeros(0)
    for factor in LENGTHS:
        module = stretched(subject.module, subject.scaling, factor, context) if factor > 1 else subject.module
        paid = nats(subject, module, windows[:, -(factor * context + 1) :], STREAM)
        numbers[f"loss_{factor}x"] = finite_mean(paid[:, -wanted:], subject)
        curve = paid.mean(axis=0)
    pieces = np.array_split(curve, min(POINTS, len(curve)))
    ends = np.cumsum([len(piece) for piece in pieces])
    points = [(float(end - len(piece) / 2), float(piece.mean())) for end, piece in zip(ends, pieces, strict=True)]
    return Measured(numbers=numbers, curves={"loss_by_position": points})


def continuation(subject: Subject) -> Measured:
    """The second half of held-out passages given the first, as the model was taught to read.

    `second_half`: nats a token. `choice`: how often the true continuation is more probable than three from
    elsewhere. `shown_once`: nats a token of the continuation when the prompt is that continuation itself.
    """
    trained = subject.training.arrangement
    arrangement = HALVES if trained == STREAM else trained
    rows = subject.data.rows(subject.training.context, 2 * subject.tokens)
    half = middle(rows.shape[1])
    first, second = rows[:, :half], rows[:, half:]
    stride = max(1, len(rows) // CHOICES)
    paid = [
        nats(subject, subject.module, np.hstack([first, np.roll(second, shift * stride, axis=0)]), arrangement)
        for shift in range(CHOICES)
    ]
    totals = np.stack([candidate.sum(axis=1) for candidate in paid])  # (choices, N)
    shown = nats(subject, subject.module, np.hstack([second[:, :half], second]), arrangement)
    wanted = second.shape[1]
    return Measured(
        numbers={
            "second_half": finite_mean(paid[0][:, -wanted:], subject),
            "choice": float((totals.argmin(axis=0) == 0).mean()),
            "shown_once": finite_mean(shown[:, -wanted:], subject),
        }
    )


def texts(subject: Subject) -> Measured:
    """`first_text`, `second_text`: bits per byte of held-out windows of either text, start tokens paid for."""
    numbers = {}
    for name, text in subject.data.texts.items():
        rows = text.rows(subject.training.context, subject.tokens)
        paid = finite_mean(nats(subject, subject.module, rows, STREAM), subject)
        per_token = subject.data.token_bytes[rows[:, 1:]].mean()
        numbers[f"{name}_text"] = float(paid / (math.log(2) * per_token))
    return Measured(numbers=numbers)


def coverage(subject: Subject) -> Measured:
    """`seen`: share of held-out n-grams that stand in the text that was counted; `filled`: log10 of the share of all
    possible n-grams that do; `impossible`: share of held-out tokens the model says cannot come."""
    if not isinstance(subject.module, NGramLM):
        raise UserError("only a counted model has a coverage", got=type(subject.module).__name__)
    data, order = subject.data, subject.module.order
    (part,) = subject.training.parts
    counted = stream_of(data.part(part, subject.seed), data.start_id)
    found = coverage_of(counted, data.held_out, order, data.tokenizer.vocabulary_size)
    paid = nats(subject, subject.module, data.rows(subject.training.context, subject.tokens), STREAM)
    return Measured(
        numbers={
            "seen": found.seen,
            "filled": filled(found.distinct, order, data.tokenizer.vocabulary_size),
            "impossible": float(np.isinf(paid).mean()),
        }
    )


MEASUREMENTS: Mapping[str, Callable[[Subject], Measured]] = {
    "held_out": held_out,
    "stability": stability,
    "lengths": lengths,
    "continuation": continuation,
    "texts": texts,
    "coverage": coverage,
}


@torch.inference_mode()
def nats(subject: Subject, module: nn.Module, rows: NDArray[np.int64], arrangement: str) -> NDArray[np.float64]:
    """(N, T) nats paid for each predicted token of (N, T + 1) rows, 0 where none is predicted."""
    model = causal(module)
    at_once = max(1, ROWS_AT_ONCE // rows.shape[1])
    chunk = rows_at_once(model.vocabulary_size)
    module.eval()
    found: list[Tensor] = []
    for start in range(0, len(rows), at_once):
        piece = torch.from_numpy(np.ascontiguousarray(rows[start : start + at_once]))
        batch = arranged(piece, arrangement, subject.data.start_id)
        found.append(-label_log_probs(model.logits, model.hidden(batch.step()), batch.labels, chunk))
    paid: NDArray[np.float64] = torch.cat(found).double().numpy()
    return paid


def finite_mean(paid: NDArray[np.float64], subject: Subject) -> float:
    """The mean; weights that are no numbers know nothing."""
    mean = float(paid.mean())
    return mean if math.isfinite(mean) else subject.guessing


def measure(kind: str, subject: Subject) -> Measured:
    """One measurement."""
    return MEASUREMENTS[kind](subject)
