"""The interpolated methods: an n-gram has its own share and some of what its context leaves to the order below.

P(w | h) = kept(h, w) + left(h) * P(w | h'), with h' the context without its first token and a uniform
distribution below order 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.kernels import Integers
from fourfold.models.ngram.counts import NGramCounts
from fourfold.models.ngram.shares import Doubles, Shares, Smoothing, by_context, where_followed
from fourfold.progress import say

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


def modified_kneser_ney(counts: NGramCounts, order: int) -> Shares:
    """Interpolated modified Kneser–Ney (Chen & Goodman 1998, section 3, equations 24-26).

    Lower orders use adjusted counts, and lowest-order mass goes to the uniform distribution, so unseen
    tokens are not free (Heafield et al. 2013, section 3.3). Where counts of counts are too few for the closed
    form, the discounts 0.5, 1, 1.5 stand in, as in KenLM; this is said aloud.
    """
    adjusted = counts.orders[order - 1].continuations
    discounts = modified_discounts(adjusted)
    if discounts is None:
        discounts = FALLBACK_DISCOUNTS
        say(f"Too few {order}-grams to estimate the Kneser–Ney discounts; taking {discounts} instead.")
    by_count = np.array((0.0, *discounts))[np.minimum(adjusted, 3)]
    return _discounted(counts, order, adjusted, by_count, discounts)


def kneser_ney(counts: NGramCounts, order: int) -> Shares:
    """Interpolated Kneser–Ney with one discount an order (Chen & Goodman 1998, section 2.7, equation 16)."""
    return _absolute(counts, order, counts.orders[order - 1].continuations)


def absolute_discounting(counts: NGramCounts, order: int) -> Shares:
    """Interpolated absolute discounting of plain counts (Ney et al. 1994; Chen & Goodman 1998, section 2.6)."""
    return _absolute(counts, order, counts.orders[order - 1].counts)


def witten_bell(counts: NGramCounts, order: int) -> Shares:
    """Witten–Bell: a context leaves T / (c + T), T its distinct followers (Chen & Goodman 1998, equation 14)."""
    table = counts.orders[order - 1]
    totals = by_context(counts, order, table.counts)
    followers = by_context(counts, order, table.counts > 0)
    share = 1 / np.maximum(totals + followers, 1)
    return Shares(table.counts * share[table.prefixes], where_followed(followers * share, totals))


def maximum_likelihood(counts: NGramCounts, order: int) -> Shares:
    """Relative frequencies; a context that was never seen takes the frequencies of the shorter one."""
    table = counts.orders[order - 1]
    totals = by_context(counts, order, table.counts)
    return Shares(table.counts / np.maximum(totals, 1)[table.prefixes], where_followed(np.zeros(len(totals)), totals))


def add_k(k: float) -> Smoothing:
    """(c + k) / (total + k V): Laplace's rule for k = 1 (Chen & Goodman 1998, section 2.1, equation 6).

    Counts of the full order only, so the orders below are uniform and so is the row of an unseen context. Near
    the document start, where the full context is shorter, the shorter one is smoothed the same way.
    """
    if not 0 < k < float("inf"):
        raise UserError("add-k needs a k above 0", got=k, advice="Take maximum-likelihood for none.")

    def smoothing(counts: NGramCounts, order: int) -> Shares:
        table = counts.orders[order - 1]
        full = np.full(counts.contexts(order), order == counts.order)
        if order > 1 and counts.bos_id is not None:
            full |= _opening(counts, order - 1)
        totals = by_context(counts, order, table.counts)
        share = full / (totals + k * counts.outcomes)
        return Shares(table.counts * share[table.prefixes], np.where(full, k * counts.outcomes * share, 1.0))

    return smoothing


def _opening(counts: NGramCounts, order: int) -> NDArray[np.bool_]:
    """Which n-grams of an order begin with the document start."""
    opening: NDArray[np.bool_] = np.arange(counts.vocabulary_size) == counts.bos_id
    for table in counts.orders[1:order]:
        opening = opening[table.prefixes]
    return opening


def modified_discounts(adjusted: Integers) -> tuple[float, float, float] | None:
    """D1, D2, D3+ (Chen & Goodman 1998, equation 26), or None where they do not come out between 0 and the count."""
    n = np.bincount(np.minimum(adjusted, 5), minlength=6).astype(float)
    if not n[1:4].all():
        return None
    y = n[1] / (n[1] + 2 * n[2])
    one, two, three = (j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3))
    if not (0 <= one <= 1 and 0 <= two <= 2 and 0 <= three <= 3):
        return None
    return float(one), float(two), float(three)


def _absolute(counts: NGramCounts, order: int, numbers: Integers) -> Shares:
    ones, twos = int((numbers == 1).sum()), int((numbers == 2).sum())
    discount = ones / (ones + 2 * twos) if ones and twos else 0.5
    if not (ones and twos):
        say(f"Too few {order}-grams to estimate the discount; taking {discount} instead.")
    return _discounted(counts, order, numbers, np.where(numbers > 0, discount, 0.0), (discount,))


def _discounted(
    counts: NGramCounts, order: int, numbers: Integers, discount: Doubles, discounts: tuple[float, ...]
) -> Shares:
    totals = by_context(counts, order, numbers)
    share = 1 / np.maximum(totals, 1)
    kept = (numbers - discount) * share[counts.orders[order - 1].prefixes]
    return Shares(kept, where_followed(by_context(counts, order, discount) * share, totals), discounts)
