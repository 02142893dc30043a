"""How sure is it that the documents hold an answer? A number that means the same in any folder.

A raw BM25 score grows with the question and with the collection, so no threshold on it travels from one folder to
another. Two things do: the *coverage*, the share of a question's informative terms, weighted by how rare
they are here, that its best passage holds; and the size of the collection, since among more passages one
that holds many of the terms is found more often by chance. A logistic function of the two was fitted to questions
whose documents were in a collection and questions whose documents were not
(`benchmarks/ask_calibration.py`; what it reaches is in LOG.md and docs/ask.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fourfold.utilization.answering.terms import held_terms, question_terms, share_held

LOOKED_AT = 3
"""Passages whose coverage counts."""
PRIOR_PASSAGES = 20
"""Passages without the term that are imagined beside the real ones: in three passages no count says what is rare."""
INTERCEPT, COVERAGE, PASSAGES = -2.49, 10.35, -0.35
"""Of the log-odds; `PASSAGES` multiplies the natural logarithm of their number."""
THRESHOLD = 0.5


class Counts(Protocol):
    """What an index knows of its terms."""

    def __len__(self) -> int:
        """Passages."""

    def frequencies(self, terms: Sequence[str]) -> Mapping[str, int]:
        """In how many passages each term stands."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What speaks for an answer being in the documents."""

    weights: Mapping[str, float]
    """Each informative term of the question and how much it tells."""
    coverage: float
    """0 to 1."""
    passages: int
    absent: tuple[str, ...] = ()
    """Terms that stand nowhere in the collection."""

    @property
    def confidence(self) -> float:
        """The calibrated probability, where half of all questions can be answered."""
        return probability(self.coverage, self.passages)


def probability(coverage: float, passages: int) -> float:
    """The logistic function of coverage and size."""
    if coverage == 0 or passages == 0:
        return 0.0
    return 1 / (1 + math.exp(-(INTERCEPT + COVERAGE * coverage + PASSAGES * math.log(passages))))


def gather(question: str, texts: Sequence[str], counts: Counts) -> Evidence:
    """The evidence of the best passages, `texts`, the best first."""
    terms = question_terms(question)
    found = counts.frequencies(terms)
    total = len(counts) + PRIOR_PASSAGES
    weights = {term: math.log(1 + (total - found[term] + 0.5) / (found[term] + 0.5)) for term in terms}
    return Evidence(
        weights=weights,
        coverage=max((covered(weights, text) for text in texts[:LOOKED_AT]), default=0.0),
        passages=len(counts),
        absent=_joined(term for term in terms if not found[term]),
    )


def _joined(terms: Iterable[str]) -> tuple[str, ...]:
    """The terms, Han pairs that overlap joined to the word they were cut from."""
    joined: list[str] = []
    for term in terms:
        if joined and not term.isascii() and joined[-1][-1] == term[0]:
            joined[-1] += term[1:]
        else:
            joined.append(term)
    return tuple(joined)


def covered(weights: Mapping[str, float], text: str) -> float:
    """The share of the weight whose terms a text holds, 0 to 1."""
    total = sum(weights.values())
    held = held_terms(text)
    return sum(weight * share_held(term, held) for term, weight in weights.items()) / total if total else 0.0
