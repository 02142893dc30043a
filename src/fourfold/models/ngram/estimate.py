"""From counts to a back-off model: interpolate order by order and lay the result out as a trie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels import Trie
from fourfold.models.ngram.counts import NGramCounts
from fourfold.models.ngram.smoothing import Smoothing

NEVER = -99 * float(np.log(10))
"""Log-probability of a token that is never an outcome: 1e-99, as ARPA files have it."""


class Estimate(NamedTuple):
    trie: Trie
    discounts: tuple[tuple[float, ...], ...]
    """Of each order; empty for methods without."""


def estimate(counts: NGramCounts, smoothing: Smoothing) -> Estimate:
    """Interpolate every order with the one below it (Chen & Goodman 1998, section 2.1, equation 8).

    The stored probabilities are the interpolated ones and the back-off weight of a context is what it leaves
    to the order below; so the back-off query of an ARPA reader returns exactly the interpolated probability.
    """
    log_probs, back_offs, discounts = [], [], []
    lower = _uniform(counts)
    for order, table in enumerate(counts.orders, 1):
        shares = smoothing(counts, order)
        below = lower if order == 1 else lower[table.suffixes]
        lower = shares.kept + shares.left[table.prefixes] * below
        log_probs.append(_log(np.minimum(lower, 1.0)))
        back_offs.append(_log(shares.left))
        discounts.append(shares.discounts)
    if counts.never_predicted is not None:
        log_probs[0][counts.never_predicted] = NEVER
    back_offs[0] = np.zeros(1, np.float32)  # the empty context always holds every token
    return Estimate(_lay_out(counts, log_probs, back_offs), tuple(discounts))


def _uniform(counts: NGramCounts) -> NDArray[np.float64]:
    """1 / (tokens that can be an outcome): KenLM counts <unk> and </s> among them, and not <s>."""
    uniform = np.full(counts.vocabulary_size, 1 / max(counts.outcomes, 1))
    if counts.never_predicted is not None:
        uniform[counts.never_predicted] = 0
    return uniform


def _log(values: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        return np.log(values).astype(np.float32)


def _lay_out(counts: NGramCounts, log_probs: list[NDArray[np.float32]], back_offs: list[NDArray[np.float32]]) -> Trie:
    sizes = [1, *(len(table) for table in counts.orders)]
    bases = np.cumsum([0, *sizes])  # of order 0 (the empty context), 1, 2, …, and the end
    suffixes = [np.zeros(1, np.int32), np.zeros(sizes[1], np.int32)]
    suffixes += [(table.suffixes + bases[order]).astype(np.int32) for order, table in enumerate(counts.orders[1:], 1)]
    followers = [
        np.bincount(table.prefixes, minlength=counts.contexts(order)) for order, table in enumerate(counts.orders, 1)
    ]
    first_child = np.concatenate([[1], 1 + np.cumsum(np.concatenate(followers))]).astype(np.int32)
    zero = np.zeros(1, np.float32)
    return Trie(
        word=np.concatenate([np.zeros(1, np.int32), *(table.words for table in counts.orders)]),
        suffix=np.concatenate(suffixes),
        log_prob=np.concatenate([zero, *log_probs]),
        first_child=first_child,
        back_off=np.concatenate(back_offs),
    )
