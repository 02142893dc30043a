"""Jelinek-Mercer smoothing: relative frequencies of all orders, mixed with weights learnt from held-out text.

Letters: T held-out positions, B buckets of contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fourfold.errors import UserError
from fourfold.kernels import Indices
from fourfold.models.ngram.counts import NGramCounts, Stream, locate, part_of
from fourfold.models.ngram.shares import Doubles, Part, Rule, Shares, Smoothing, parts, where_followed

EDGES = np.array([1.25, 1.5, 2, 3, 5, 10, 20, 50, 100, 1000])
"""Contexts share a weight by how often each of their followers came on average (Chen & Goodman 1998, section 2.3)."""
HELD_OUT_EVERY = 10
HELD_OUT_TOKENS = 1_000_000
ROUNDS = 50
CONVERGED = 1e-6
"""Gain in nats a token below which the weights are taken to stand still."""

Weights = Sequence[Sequence[float]]


def jelinek_mercer(weights: Weights) -> Smoothing:
    """P(w | h) = weight * c(h w) / c(h) + (1 - weight) * P(w | h') (Jelinek & Mercer 1980).

    `weights` hold a row for each order, the last standing for all above, and in it a weight for each bucket of
    contexts, the last standing for all after it.
    """
    for weight in (weight for row in weights for weight in row):
        if not 0 <= weight < 1:
            raise UserError("Jelinek-Mercer needs weights from 0 to below 1", got=weight)

    def smoothing(counts: NGramCounts, order: int) -> Rule:
        row = np.array(weights[min(order, len(weights)) - 1])

        def share(part: Part) -> Shares:
            totals, buckets = _contexts(part)
            weight = row[np.minimum(buckets, len(row) - 1)]
            kept = part.counts * (weight / np.maximum(totals, 1))[part.prefixes]
            return Shares(kept, where_followed(1 - weight, totals))

        return Rule(share, weights=tuple(row.tolist()))

    return smoothing


def fit_jelinek_mercer(stream: Stream, count: Callable[[Stream], NGramCounts]) -> Smoothing:
    """The method with weights that make every tenth document likeliest given counts of the others.

    The text held out is at most a million tokens; it is counted in the end like the rest.
    """
    documents = np.cumsum(stream.depth == 0) - 1
    held = documents % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    if not held.any():
        held = documents == documents[-1]
    if held.all():
        advice = "Give more documents, or a weight: jelinek-mercer:0.7, say."
        raise UserError("Jelinek-Mercer learns its weights from documents it holds out", got="one", advice=advice)
    seen = held & (np.cumsum(held) <= HELD_OUT_TOKENS)
    return jelinek_mercer(expectation_maximisation(count(part_of(stream, ~held)), part_of(stream, seen)))


class _Level(NamedTuple):
    """What one order says of the held-out positions."""

    frequency: Doubles
    """(T,) relative frequency of the token after its context."""
    bucket: Indices
    """(T,) of the context; the last, B, for contexts that were never seen and are passed over."""


def expectation_maximisation(counts: NGramCounts, held_out: Stream) -> list[list[float]]:
    """Weights by order and bucket that make the held-out text likeliest (Dempster et al. 1977).

    The hidden variable is the order a token was drawn from. Departure: one event is added for and against each
    weight, so that buckets few tokens fall in stay near the middle.
    """
    levels = _levels(counts, held_out)
    weights = [np.full(len(EDGES) + 1, 0.5) for _ in levels]
    before = -np.inf
    for _ in range(ROUNDS):
        drawn, likelihood = _drawn(levels, weights, 1 / counts.outcomes)
        if likelihood - before < CONVERGED:
            break
        before = likelihood
        below = 1 - np.sum(drawn, axis=0)  # drawn from the uniform distribution
        for level, share, row in zip(levels, drawn, weights, strict=True):
            below = below + share
            events = np.bincount(level.bucket, share, len(row) + 1)[:-1]
            row[:] = (events + 1) / (np.bincount(level.bucket, below, len(row) + 1)[:-1] + 2)
    return [row.tolist() for row in weights]


def _drawn(levels: Sequence[_Level], weights: Sequence[Doubles], uniform: float) -> tuple[list[Doubles], float]:
    """P(order | token) of each order for all T positions, and the mean log-likelihood of the text."""
    reached = np.ones(len(levels[0].frequency))
    joint = []
    for level, row in zip(reversed(levels), reversed(weights), strict=True):
        weight = np.append(row, 0.0)[level.bucket]
        joint.append(reached * weight * level.frequency)
        reached = reached * (1 - weight)
    total = np.sum(joint, axis=0) + reached * uniform
    return [share / total for share in reversed(joint)], float(np.log(total).mean())


def _levels(counts: NGramCounts, held_out: Stream) -> list[_Level]:
    predicted = np.flatnonzero(held_out.depth > 0) if counts.bos_id is not None else np.arange(len(held_out.tokens))
    levels = []
    contexts = np.zeros(len(held_out.tokens), np.int64)
    for order, rows in enumerate(locate(counts, held_out), 1):
        table = counts.orders[order - 1]
        totals, buckets = (np.concatenate(column) for column in zip(*map(_contexts, parts(counts, order)), strict=True))
        known = (contexts >= 0) & (held_out.depth >= order - 1)
        known &= totals[contexts] > 0
        found = np.where(known & (rows >= 0), table.counts[rows] / np.maximum(totals[contexts], 1), 0.0)
        bucket = np.where(known, buckets[contexts], len(EDGES) + 1)
        levels.append(_Level(found[predicted], bucket[predicted].astype(np.int32)))
        contexts = np.append(-1, rows[:-1])
    return levels


def _contexts(part: Part) -> tuple[Doubles, Indices]:
    """What was counted after each context, and its bucket."""
    totals, followers = part.by_context(part.counts), part.by_context(part.counts > 0)
    return totals, np.digitize(totals / np.maximum(followers, 1), EDGES).astype(np.int32)
