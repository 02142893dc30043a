"""The back-off methods: the order below is asked only for what was not seen.

P(w | h) = kept(h, w) where h w was seen, else left(h) * P(w | h').
"""

from __future__ import annotations

import numpy as np

from fourfold.errors import UserError
from fourfold.kernels import Indices
from fourfold.models.ngram.counts import NGramCounts
from fourfold.models.ngram.shares import Doubles, Part, Rule, Shares, Smoothing, counts_of_counts
from fourfold.progress import say

RELIABLE = 5
"""Counts above it are left as they are: the k of Katz (1987), section V."""


def katz(counts: NGramCounts, order: int) -> Rule:
    """Katz back-off with Good-Turing discounts (Katz 1987, equations 8 to 18; Chen & Goodman 1998, section 2.4).

    A count r up to k keeps d_r r, with d_r = (r*/r - A) / (1 - A), r* = (r + 1) n_{r+1} / n_r and
    A = (k + 1) n_{k+1} / n_1; what is taken away is shared by the unseen in proportion to the order below. Where
    k = 5 gives ratios that are no discounts, k is lowered until it does, which is said. Departures: a context whose
    counts are all above k would leave nothing, so its total is taken one higher, as if one unseen token had
    followed; and where all tokens were seen, what was taken away is given back in proportion.
    """
    ratios = _ratios(counts.orders[order - 1].counts, order)

    def share(part: Part) -> Shares:
        discounted = part.counts * ratios[np.minimum(part.counts, len(ratios) - 1)]
        totals = part.by_context(part.counts)
        totals += (totals > 0) & (totals - part.by_context(discounted) < 1e-9 * totals)
        return Shares(discounted / np.maximum(totals, 1)[part.prefixes], None, interpolated=False)

    return Rule(share, discounts=tuple(float(ratio) for ratio in ratios[1:-1]))


def good_turing_ratios(counts: Indices, k: int) -> Doubles | None:
    """d_0 = 0, d_1 … d_k and 1 for all above; None where they do not come out above 0 and at most 1."""
    n = counts_of_counts(counts, k + 2).astype(float)
    if not n[1 : k + 1].all():
        return None
    r = np.arange(1, k + 1)
    adjusted = (r + 1) * n[r + 1] / n[r] / r
    spared = (k + 1) * n[k + 1] / n[1]
    if spared >= 1:
        return None
    ratios: Doubles = (adjusted - spared) / (1 - spared)
    if (ratios <= 0).any() or (ratios > 1).any():
        return None
    return np.concatenate([[0.0], ratios, [1.0]])


def _ratios(counts: Indices, order: int) -> Doubles:
    for k in range(RELIABLE, 0, -1):
        ratios = good_turing_ratios(counts, k)
        if ratios is not None:
            if k < RELIABLE:
                say(f"Counts of {order}-grams are discounted up to {k}, not {RELIABLE}: counts of counts are too few.")
            return ratios
    say(f"Too few {order}-grams for Good-Turing discounts; each context leaves what one unseen token would have had.")
    return np.array([0.0, 1.0])


def stupid_back_off(alpha: float = 0.4) -> Smoothing:
    """Relative frequencies, and alpha times the shorter context's for the unseen (Brants et al. 2007, equation 5).

    The scores are not probabilities: they do not sum to one. Departure: below order 1 stands a uniform
    distribution, so that an unseen token scores above zero.
    """
    if not 0 < alpha <= 1:
        raise UserError("stupid back-off needs a factor above 0 and at most 1", got=alpha)

    def share(part: Part) -> Shares:
        totals = part.by_context(part.counts)
        kept = part.counts / np.maximum(totals, 1)[part.prefixes]
        return Shares(kept, np.where(totals > 0, alpha, 1.0), interpolated=False)

    return lambda counts, order: Rule(share)
