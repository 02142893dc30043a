"""Two systems on the same items: paired intervals, exact tests, many tasks at once."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fourfold.measures.intervals import Interval, bootstrap_interval, is_binary, wilson_interval
from fourfold.measures.stratified import stratified_interval

Verdict = Literal["better", "worse", "no difference shown"]


class PairedResult(NamedTuple):
    """How much b exceeds a on the same items (mean of b - a), and whether that is more than chance."""

    difference: float
    low: float
    high: float
    p_value: float
    verdict: Verdict
    n: int
    method: str


def verdict_of(difference: float, p_value: float, level: float = 0.95, higher_is_better: bool = True) -> Verdict:
    """What may be said of b against a at this level."""
    if p_value >= 1 - level or difference == 0:
        return "no difference shown"
    return "better" if (difference > 0) == higher_is_better else "worse"


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    level: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
    higher_is_better: bool = True,
    strata: Sequence[Hashable] | None = None,
) -> PairedResult:
    """b - a over paired item scores.

    Right-or-wrong scores: Newcombe's paired score interval and McNemar's exact test.
    Other scores: bootstrap of the differences (BCa) and a sign-flip permutation test, of
    which McNemar's is the exact form for right-or-wrong scores. The verdict follows the
    test. Without Holm's correction it speaks of one comparison alone.

    With `strata` (a subject for each item) the interval resamples within strata. The tests stay
    as they are: each pair is compared with itself alone, so they hold whatever the strata.
    """
    left, right = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or left.size == 0:
        raise ValueError(f"expected two lists of the same length, got shapes {left.shape} and {right.shape}")
    binary = is_binary(left) and is_binary(right)
    if binary:
        p_value, test = mcnemar(left, right), "McNemar exact"
    else:
        p_value, test = sign_flip_test(right - left, samples, seed), "sign-flip permutation"
    if strata is not None:
        interval = stratified_interval(right - left, strata, level, samples, seed)
    else:
        interval = (
            newcombe_interval(left, right, level) if binary else bootstrap_interval(right - left, level, samples, seed)
        )
    verdict = verdict_of(interval.value, p_value, level, higher_is_better)
    method = f"{interval.method}, {test}"
    return PairedResult(interval.value, interval.low, interval.high, p_value, verdict, left.size, method)


def mcnemar(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of McNemar's exact test (McNemar 1947; exact binomial form).

    Only the items on which the two differ count: were the systems equally good, each
    would be a toss of a coin.
    """
    left, right = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    gained, lost = int((~left & right).sum()), int((left & ~right).sum())
    tosses = gained + lost
    tail = sum(math.comb(tosses, k) for k in range(min(gained, lost) + 1))
    return min(1.0, float(2 * tail / 2**tosses)) if tosses else 1.0


def newcombe_interval(a: NDArray[np.float64], b: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Interval for the difference of two paired proportions (Newcombe 1998, method 10).

    Built from the two Wilson intervals and the correlation of the pairs, so that 0/64
    against 64/64 keeps an honest width.
    """
    n = a.size
    first, second = wilson_interval(int(a.sum()), n, level), wilson_interval(int(b.sum()), n, level)
    correlation = _phi(a, b)
    below, above = second.value - second.low, second.high - second.value
    other_above, other_below = first.high - first.value, first.value - first.low
    difference = second.value - first.value
    low = difference - math.sqrt(max(0.0, below**2 - 2 * correlation * below * other_above + other_above**2))
    high = difference + math.sqrt(max(0.0, above**2 - 2 * correlation * above * other_below + other_below**2))
    return Interval(difference, max(-1.0, low), min(1.0, high), "Newcombe paired score")


def _phi(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Newcombe's correlation of the 2 × 2 table: phi, with n/2 taken off a positive cross product."""
    both, neither = float((a * b).sum()), float(((1 - a) * (1 - b)).sum())
    only_a, only_b = float((a * (1 - b)).sum()), float(((1 - a) * b).sum())
    margins = (both + only_a) * (both + only_b) * (neither + only_a) * (neither + only_b)
    if margins == 0:
        return 0.0
    cross = both * neither - only_a * only_b
    if cross > 0:
        cross = max(cross - a.size / 2, 0.0)
    return cross / math.sqrt(margins)


def sign_flip_test(differences: NDArray[np.float64], samples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value that the differences are symmetric around 0 (Fisher's randomisation test).

    All 2^n sign patterns for up to 12 non-zero differences, else `samples` random ones with
    the observed pattern counted in, so that p is never 0.
    """
    moved = differences[differences != 0]
    n = moved.size
    if n == 0:
        return 1.0
    observed = abs(moved.sum()) * (1 - 1e-12)
    if n <= 12:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(np.abs(signs @ moved) >= observed))
    generator = np.random.default_rng(seed)
    extreme, piece = 0, max(1, 4_000_000 // n)
    for start in range(0, samples, piece):
        signs = 1.0 - 2.0 * generator.integers(0, 2, size=(min(piece, samples - start), n))
        extreme += int(np.sum(np.abs(signs @ moved) >= observed))
    return (extreme + 1) / (samples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, step-down (Holm 1979), in the given order."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted
