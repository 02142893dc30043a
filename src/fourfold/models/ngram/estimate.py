"""From counts to a back-off model: ask each order in turn, and keep what is not pruned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.models.ngram.counts import NGramCounts
from fourfold.models.ngram.layout import Level, thin
from fourfold.models.ngram.shares import Doubles, Shares, Smoothing, by_context

NEVER = -99 * float(np.log(10))
"""Log-probability of a token that is never an outcome: 1e-99, as ARPA files have it."""
ROUNDING = 1e-12
"""Mass too small to be anything but rounding."""


class Estimate(NamedTuple):
    levels: list[Level]
    discounts: tuple[tuple[float, ...], ...]
    """Of each order; empty for methods without."""
    weights: tuple[tuple[float, ...], ...]


def estimate(counts: NGramCounts, smoothing: Smoothing, prune: Sequence[int] = ()) -> Estimate:
    """Smooth every order over the one below it (Chen & Goodman 1998, section 2.8).

    What is stored of an interpolated method is the interpolated probability, and the back-off weight of a context
    is what it leaves to the order below; so the back-off query of an ARPA reader returns exactly the interpolated
    probability. N-grams of order n that occur at most `prune[n - 1]` times (the last number standing for all
    longer ones) are dropped after the method has seen them, and leave what they kept to the order below.
    """
    thresholds = check_pruning(prune, counts.order)
    levels: list[Level] = []
    keep: list[NDArray[np.bool_]] = []
    discounts, weights = [], []
    lower = _uniform(counts)
    for order, table in enumerate(counts.orders, 1):
        keep.append(table.counts > thresholds[order - 1] if order > 1 else np.ones(len(table), np.bool_))
        shares = _pruned(counts, order, smoothing(counts, order), keep[-1])
        below = lower if order == 1 else lower[table.suffixes]
        lower, left = _joined(counts, order, shares, below)
        if order > 1:
            levels[-1] = levels[-1]._replace(back_off=_log(left))
        levels.append(Level(table.words, table.prefixes, table.suffixes, _log(np.minimum(lower, 1.0)), None))
        discounts.append(shares.discounts)
        weights.append(shares.weights)
    if counts.never_predicted is not None:
        levels[0].log_prob[counts.never_predicted] = NEVER
    return Estimate(thin(levels, keep), tuple(discounts), tuple(weights))


def check_pruning(prune: Sequence[int], order: int) -> tuple[int, ...]:
    """A threshold for every order: words are never pruned, and longer n-grams no less than the shorter ones inside."""
    if not prune:
        return (0,) * order
    if prune[0] or min(prune) < 0 or list(prune) != sorted(prune) or len(prune) > order:
        expected = f"0 and then rising numbers, at most {order} of them, such as 0,0,1"
        raise UserError("these thresholds cannot prune", expected=expected, got=",".join(map(str, prune)))
    return (*prune, *[prune[-1]] * (order - len(prune)))


def _pruned(counts: NGramCounts, order: int, shares: Shares, keep: NDArray[np.bool_]) -> Shares:
    """What dropped n-grams kept is left to the order below."""
    if keep.all():
        return shares
    left = shares.left
    if shares.interpolated and left is not None:
        left = left + by_context(counts, order, np.where(keep, 0.0, shares.kept))
    return shares._replace(kept=np.where(keep, shares.kept, 0.0), left=left)


def _joined(counts: NGramCounts, order: int, shares: Shares, below: Doubles) -> tuple[Doubles, Doubles]:
    """P(w | h) of every n-gram in the table and the back-off weight of every context."""
    prefixes = counts.orders[order - 1].prefixes
    if shares.interpolated and shares.left is not None:
        return shares.kept + shares.left[prefixes] * below, shares.left
    seen = shares.kept > 0
    if shares.left is not None:
        return np.where(seen, shares.kept, shares.left[prefixes] * below), shares.left
    kept = by_context(counts, order, shares.kept)
    room = 1 - by_context(counts, order, np.where(seen, below, 0.0))
    full = room <= ROUNDING  # everything below was seen here: there is nobody to leave anything to
    scale = np.where(full, 1 / np.maximum(kept, ROUNDING), 1.0)
    left = np.where(full, 1.0, np.maximum(1 - kept, 0.0) / np.where(full, 1.0, room))
    return np.where(seen, shares.kept * scale[prefixes], left[prefixes] * below), left


def _uniform(counts: NGramCounts) -> Doubles:
    """1 / (tokens that can be an outcome): KenLM counts <unk> and </s> among them, and not <s>."""
    uniform = np.full(counts.vocabulary_size, 1 / max(counts.outcomes, 1))
    if counts.never_predicted is not None:
        uniform[counts.never_predicted] = 0
    return uniform


def _log(values: Doubles) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        return np.log(values).astype(np.float32)
