"""From counts to a back-off model: ask each order in turn, and keep what is not pruned."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from fourfold.errors import UserError
from fourfold.kernels import Floats, processors
from fourfold.models.ngram.counts import NewArray, NGramCounts
from fourfold.models.ngram.layout import Flags, Level, thin
from fourfold.models.ngram.shares import Doubles, Part, Rule, Shares, Smoothing, parts
from fourfold.progress import track

NEVER = -99 * float(np.log(10))
"""Log-probability of a token that is never an outcome: 1e-99, as ARPA files have it."""
ROUNDING = 1e-12
"""Mass too small to be anything but rounding."""


class Estimate(NamedTuple):
    levels: list[Level]
    discounts: tuple[tuple[float, ...], ...]
    """Of each order; empty for methods without."""
    weights: tuple[tuple[float, ...], ...]


def estimate(
    counts: NGramCounts, smoothing: Smoothing, prune: Sequence[int] = (), new: NewArray = np.empty
) -> Estimate:
    """Smooth every order over the one below it (Chen & Goodman 1998, section 2.8).

    What is stored of an interpolated method is the interpolated probability, and the back-off weight of a context
    is what it leaves to the order below; so the back-off query of an ARPA reader returns exactly the interpolated
    probability. N-grams of order n that occur at most `prune[n - 1]` times (the last number standing for all
    longer ones) are dropped after the method has seen them, and leave what they kept to the order below.
    """
    thresholds = check_pruning(prune, counts.order)
    levels: list[Level] = []
    rules: list[Rule] = []
    lower = _uniform(counts)
    for order in track(range(1, counts.order + 1), "smooth n-grams", unit="orders"):
        rules.append(smoothing(counts, order))
        lower, log_prob, back_off = _smoothed(counts, order, rules[-1], thresholds[order - 1], lower, new)
        if order > 1:
            levels[-1] = levels[-1]._replace(back_off=back_off)
        table = counts.orders[order - 1]
        levels.append(Level(table.words, table.prefixes, table.suffixes, log_prob, None))
    if counts.never_predicted is not None:
        levels[0].log_prob[counts.never_predicted] = NEVER
    if any(thresholds):
        levels = thin(
            levels, [_kept(counts, order, thresholds[order - 1], new) for order in range(1, counts.order + 1)], new
        )
    return Estimate(levels, tuple(rule.discounts for rule in rules), tuple(rule.weights for rule in rules))


# budget: one order of `estimate`
def _smoothed(
    counts: NGramCounts, order: int, rule: Rule, threshold: int, lower: Doubles, new: NewArray
) -> tuple[Doubles, Floats, Floats]:
    """P(w | h) of every n-gram; its logarithm; and the logarithm of the back-off weight of every context."""
    table = counts.orders[order - 1]
    size, last = len(table), order == counts.order
    found = new(0 if last else size, np.float64)  # nothing asks the highest order
    log_prob, back_off = new(size, np.float32), new(counts.contexts(order), np.float32)

    def smooth(part: Part) -> None:
        shares = rule.share(part)
        if order > 1 and threshold:
            shares = _pruned(part, shares, part.counts > threshold)
        below = lower if order == 1 else lower[table.suffixes[part.rows]]
        probability, left = _joined(part, shares, below)
        if not last:
            found[part.rows] = probability
        log_prob[part.rows], back_off[part.contexts] = _log(np.minimum(probability, 1.0)), _log(left)

    with ThreadPoolExecutor(processors()) as pool:
        for _ in pool.map(smooth, parts(counts, order)):
            pass
    return found, log_prob, back_off


def _kept(counts: NGramCounts, order: int, threshold: int, new: NewArray) -> Flags:
    """Which n-grams are not pruned."""
    keep: Flags = new(len(counts.orders[order - 1]), np.bool_)
    np.greater(counts.orders[order - 1].counts, threshold if order > 1 else -1, out=keep)
    return keep


def check_pruning(prune: Sequence[int], order: int) -> tuple[int, ...]:
    """A threshold for every order: words are never pruned, and longer n-grams no less than the shorter ones inside."""
    if not prune:
        return (0,) * order
    if prune[0] or min(prune) < 0 or list(prune) != sorted(prune) or len(prune) > order:
        expected = f"0 and then rising numbers, at most {order} of them, such as 0,0,1"
        raise UserError("these thresholds cannot prune", expected=expected, got=",".join(map(str, prune)))
    return (*prune, *[prune[-1]] * (order - len(prune)))


def _pruned(part: Part, shares: Shares, keep: Flags) -> Shares:
    """What dropped n-grams kept is left to the order below."""
    left = shares.left
    if shares.interpolated and left is not None:
        left = left + part.by_context(np.where(keep, 0.0, shares.kept))
    return shares._replace(kept=np.where(keep, shares.kept, 0.0), left=left)


def _joined(part: Part, shares: Shares, below: Doubles) -> tuple[Doubles, Doubles]:
    """P(w | h) of every n-gram and the back-off weight of every context."""
    if shares.interpolated and shares.left is not None:
        return shares.kept + shares.left[part.prefixes] * below, shares.left
    seen = shares.kept > 0
    if shares.left is not None:
        return np.where(seen, shares.kept, shares.left[part.prefixes] * below), shares.left
    kept = part.by_context(shares.kept)
    room = 1 - part.by_context(np.where(seen, below, 0.0))
    full = room <= ROUNDING  # everything below was seen here: there is nobody to leave anything to
    scale = np.where(full, 1 / np.maximum(kept, ROUNDING), 1.0)
    left = np.where(full, 1.0, np.maximum(1 - kept, 0.0) / np.where(full, 1.0, room))
    return np.where(seen, shares.kept * scale[part.prefixes], left[part.prefixes] * below), left


def _uniform(counts: NGramCounts) -> Doubles:
    """1 / (tokens that can be an outcome): KenLM counts <unk> and </s> among them, and not <s>."""
    uniform = np.full(counts.vocabulary_size, 1 / max(counts.outcomes, 1))
    if counts.never_predicted is not None:
        uniform[counts.never_predicted] = 0
    return uniform


def _log(values: Doubles) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(values).astype(np.float32)
