"""The interpolated methods: an n-gram has its own share and some of what its context leaves to the order below.

P(w | h) = kept(h, w) + left(h) * P(w | h'), with h' the context without its first token and a uniform
distribution below order 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.kernels import Indices
from fourfold.models.ngram.counts import NGramCounts
from fourfold.models.ngram.shares import Doubles, Part, Rule, Shares, Smoothing, counts_of_counts, where_followed
from fourfold.progress import say

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


def modified_kneser_ney(counts: NGramCounts, order: int) -> Rule:
    """Interpolated modified Kneser–Ney (Chen & Goodman 1998, section 3, equations 24-26).

    Lower orders use adjusted counts, and lowest-order mass goes to the uniform distribution, so unseen
    tokens are not free (Heafield et al. 2013, section 3.3). Where counts of counts are too few for the closed
    form, the discounts 0.5, 1, 1.5 stand in, as in KenLM; this is said aloud.
    """
    discounts = modified_discounts(counts.orders[order - 1].continuations)
    if discounts is None:
        discounts = FALLBACK_DISCOUNTS
        say(f"Too few {order}-grams to estimate the Kneser–Ney discounts; taking {discounts} instead.")
    by_count = np.array((0.0, *discounts))
    return Rule(
        lambda part: _discounted(part, part.continuations, by_count[np.minimum(part.continuations, 3)]), discounts
    )


def kneser_ney(counts: NGramCounts, order: int) -> Rule:
    """Interpolated Kneser–Ney with one discount an order (Chen & Goodman 1998, section 2.7, equation 16)."""
    discount = _discount(counts.orders[order - 1].continuations, order)
    return Rule(
        lambda part: _discounted(part, part.continuations, np.where(part.continuations > 0, discount, 0.0)), (discount,)
    )


def absolute_discounting(counts: NGramCounts, order: int) -> Rule:
    """Interpolated absolute discounting of plain counts (Ney et al. 1994; Chen & Goodman 1998, section 2.6)."""
    discount = _discount(counts.orders[order - 1].counts, order)
    return Rule(lambda part: _discounted(part, part.counts, np.where(part.counts > 0, discount, 0.0)), (discount,))


def witten_bell(counts: NGramCounts, order: int) -> Rule:
    """Witten–Bell: a context leaves T / (c + T), T its distinct followers (Chen & Goodman 1998, equation 14)."""

    def share(part: Part) -> Shares:
        totals, followers = part.by_context(part.counts), part.by_context(part.counts > 0)
        each = 1 / np.maximum(totals + followers, 1)
        return Shares(part.counts * each[part.prefixes], where_followed(followers * each, totals))

    return Rule(share)


def maximum_likelihood(counts: NGramCounts, order: int) -> Rule:
    """Relative frequencies; a context that was never seen takes the frequencies of the shorter one."""

    def share(part: Part) -> Shares:
        totals = part.by_context(part.counts)
        kept = part.counts / np.maximum(totals, 1)[part.prefixes]
        return Shares(kept, where_followed(np.zeros(part.size), totals))

    return Rule(share)


def add_k(k: float) -> Smoothing:
    """(c + k) / (total + k V): Laplace's rule for k = 1 (Chen & Goodman 1998, section 2.1, equation 6).

    Counts of the full order only, so the orders below are uniform and so is the row of an unseen context. Near
    the document start, where the full context is shorter, the shorter one is smoothed the same way.
    """
    if not 0 < k < float("inf"):
        raise UserError("add-k needs a k above 0", got=k, advice="Take maximum-likelihood for none.")

    def smoothing(counts: NGramCounts, order: int) -> Rule:
        full = np.full(counts.contexts(order), order == counts.order)
        if order > 1 and counts.bos_id is not None:
            full |= _opening(counts, order - 1)

        def share(part: Part) -> Shares:
            here, spread = full[part.contexts], k * counts.outcomes
            each = here / (part.by_context(part.counts) + spread)
            return Shares(part.counts * each[part.prefixes], np.where(here, spread * each, 1.0))

        return Rule(share)

    return smoothing


def _opening(counts: NGramCounts, order: int) -> NDArray[np.bool_]:
    """Which n-grams of an order begin with the document start."""
    opening: NDArray[np.bool_] = np.arange(counts.vocabulary_size) == counts.bos_id
    for table in counts.orders[1:order]:
        opening = opening[table.prefixes]
    return opening


def modified_discounts(adjusted: Indices) -> tuple[float, float, float] | None:
    """D1, D2, D3+ (Chen & Goodman 1998, equation 26), or None where they do not come out between 0 and the count."""
    n = counts_of_counts(adjusted, 5).astype(float)
    if not n[1:4].all():
        return None
    y = n[1] / (n[1] + 2 * n[2])
    one, two, three = (j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3))
    if not (0 <= one <= 1 and 0 <= two <= 2 and 0 <= three <= 3):
        return None
    return float(one), float(two), float(three)


def _discount(numbers: Indices, order: int) -> float:
    _, ones, twos, _ = counts_of_counts(numbers, 3).tolist()
    if not (ones and twos):
        say(f"Too few {order}-grams to estimate the discount; taking {FALLBACK_DISCOUNTS[0]} instead.")
        return FALLBACK_DISCOUNTS[0]
    return float(ones / (ones + 2 * twos))


def _discounted(part: Part, numbers: Indices, discount: Doubles) -> Shares:
    totals = part.by_context(numbers)
    share = 1 / np.maximum(totals, 1)
    kept = (numbers - discount) * share[part.prefixes]
    return Shares(kept, where_followed(part.by_context(discount) * share, totals))
