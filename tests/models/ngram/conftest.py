"""Chen & Goodman (1998) in plain dictionaries, to hold the fast counting and smoothing to."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest


class SlowKneserNey:
    """Interpolated modified Kneser–Ney over marked documents, straight from the equations of section 3.

    `outcomes` are the tokens that can follow a context; discounts may be given, else equation 26.
    """

    def __init__(self, documents, order, outcomes, start, fallback=(0.5, 1.0, 1.5)):
        self.order, self.outcomes, self.start = order, list(outcomes), start
        raw = [Counter() for _ in range(order + 1)]
        for document in documents:
            for n in range(1, order + 1):
                for i in range(len(document) - n + 1):
                    if n > 1 or i > 0:
                        raw[n][tuple(document[i : i + n])] += 1
        self.raw = raw
        self.adjusted = [Counter() for _ in range(order + 1)]
        self.adjusted[order] = raw[order]
        for n in range(1, order):
            for gram in raw[n]:
                if n > 1 and gram[0] == start:
                    self.adjusted[n][gram] = raw[n][gram]
            for longer in raw[n + 1]:
                if not (n > 1 and longer[1] == start):
                    self.adjusted[n][longer[1:]] += 1
        self.discounts = [None] + [self._discounts(self.adjusted[n]) or fallback for n in range(1, order + 1)]
        self.followers = [None] + [defaultdict(dict) for _ in range(order)]
        for n in range(1, order + 1):
            for gram, count in self.adjusted[n].items():
                self.followers[n][gram[:-1]][gram[-1]] = count

    @staticmethod
    def _discounts(adjusted):
        n = [None] + [sum(count == j for count in adjusted.values()) for j in (1, 2, 3, 4)]
        if not (n[1] and n[2] and n[3]):
            return None
        y = n[1] / (n[1] + 2 * n[2])
        result = 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]
        return result if all(0 <= d <= j for j, d in enumerate(result, 1)) else None

    def probability(self, word, context):
        """P(word | context), with as much of the context as the order allows."""
        return self._probability(word, tuple(context)[len(context) - min(len(context), self.order - 1) :])

    def _probability(self, word, context):
        n = len(context) + 1
        lower = self._probability(word, context[1:]) if context else 1 / len(self.outcomes)
        followers = self.followers[n].get(context)
        if not followers:
            return lower
        discount = [0.0, *self.discounts[n]]
        total = sum(followers.values())
        left = sum(discount[min(count, 3)] for count in followers.values()) / total
        count = followers.get(word, 0)
        return (count - discount[min(count, 3)]) / total + left * lower


@pytest.fixture
def slow_kneser_ney():
    return SlowKneserNey
