"""Confidence intervals: Wilson's for proportions, the bootstrap for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

CELLS_AT_ONCE = 4_000_000
"""Resampled values held at a time, which bounds the memory of a bootstrap to a few dozen megabytes."""


class Interval(NamedTuple):
    """A value, the bounds of its interval, and how the bounds were found."""

    value: float
    low: float
    high: float
    method: str = ""


def is_binary(values: ArrayLike) -> bool:
    """Whether every value is 0 or 1."""
    array = np.asarray(values, dtype=np.float64)
    return bool(np.all((array == 0) | (array == 1)))


def mean_interval(values: ArrayLike, level: float = 0.95, samples: int = 10_000, seed: int = 0) -> Interval:
    """The mean of item scores with the interval that suits them.

    Right-or-wrong scores get Wilson's interval: a bootstrap of 64 right answers out of
    64 has no width at all, as if the 65th could not be wrong. Other scores get the bootstrap.
    """
    array = _checked(values)
    if is_binary(array):
        return wilson_interval(int(array.sum()), array.size, level)
    return bootstrap_interval(array, level, samples, seed)


def mean_of_means_interval(groups: Sequence[ArrayLike], level: float = 0.95) -> Interval:
    """The mean of the groups' means, each counting the same (MMLU's macro average), with a normal interval.

    The groups are fixed and their items drawn: the variance is that of items within groups, pooled over all groups,
    because a group of three items says little about its own. Where no group has two different items there are no
    bounds.
    """
    arrays = [_checked(group) for group in groups]
    value = float(np.mean([array.mean() for array in arrays]))
    freedom = sum(array.size - 1 for array in arrays)
    spread = sum(float(((array - array.mean()) ** 2).sum()) for array in arrays)
    if spread == 0:
        return Interval(value, math.nan, math.nan, "none")
    variance = spread / freedom
    error = math.sqrt(variance * sum(1 / array.size for array in arrays)) / len(arrays)
    half = normal_quantile(level) * error
    return Interval(value, value - half, value + half, "normal, pooled within groups")


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion (Wilson 1927), without continuity correction."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"expected 0 <= successes <= n and n > 0, got {successes} of {n}")
    z = normal_quantile(level)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(rate, low, high, "Wilson")


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, samples: int = 10_000, seed: int = 0, method: str = "bca"
) -> Interval:
    """The mean of `values` with a bootstrap interval, `method` "bca" or "percentile".

    BCa is the bias-corrected and accelerated interval (Efron 1987, equations 2.3 and 6.6).
    Equal values give an interval of no width: the bootstrap knows nothing beyond its sample.
    """
    array = _checked(values)
    return ratio_of_sums_interval(array, np.ones_like(array), level, samples, seed, method)


def ratio_of_sums_interval(
    numerators: Array, denominators: Array, level: float, samples: int, seed: int, method: str = "bca"
) -> Interval:
    """Σ numerators ÷ Σ denominators over resampled pairs; a mean when all denominators are 1."""
    if method not in ("bca", "percentile"):
        raise ValueError(f"expected method 'bca' or 'percentile', got '{method}'")
    value = float(numerators.sum() / denominators.sum())
    replicates = np.concatenate(list(resampled_ratios(numerators, denominators, samples, seed)))
    tail = (1 - level) / 2
    low_share, high_share = tail, 1 - tail
    if method == "bca" and np.ptp(replicates) > 0:
        low_share, high_share = _bca_shares(value, replicates, _left_out(numerators, denominators), tail)
    low, high = np.quantile(replicates, [low_share, high_share])
    return Interval(value, float(low), float(high), f"{'BCa' if method == 'bca' else 'percentile'} bootstrap")


def resampled_ratios(numerators: Array, denominators: Array, samples: int, seed: int) -> Iterator[Array]:
    """Ratios of sums of `samples` resamples, in pieces; the same seed and n draw the same items."""
    generator = np.random.default_rng(seed)
    n = numerators.size
    piece = max(1, CELLS_AT_ONCE // n)
    for start in range(0, samples, piece):
        chosen = generator.integers(0, n, size=(min(piece, samples - start), n))
        yield numerators[chosen].sum(axis=1) / denominators[chosen].sum(axis=1)


def normal_quantile(level: float) -> float:
    """z such that a standard normal lies within ±z with probability `level`."""
    if not 0 < level < 1:
        raise ValueError(f"expected a level between 0 and 1, got {level}")
    return NormalDist().inv_cdf(1 - (1 - level) / 2)


def _left_out(numerators: Array, denominators: Array) -> Array:
    """The statistic with each item left out in turn (the jackknife)."""
    rest = denominators.sum() - denominators
    ratios: Array = np.divide(numerators.sum() - numerators, rest, out=np.zeros_like(rest), where=rest > 0)
    return ratios


def _bca_shares(value: float, replicates: Array, left_out: Array, tail: float) -> tuple[float, float]:
    """The shares of the bootstrap distribution at which a BCa interval ends."""
    normal = NormalDist()
    below = float(np.mean(replicates < value) + np.mean(replicates == value) / 2)
    edge = 1 / (2 * replicates.size)
    bias = normal.inv_cdf(min(max(below, edge), 1 - edge))
    deviations = left_out.mean() - left_out
    spread = float((deviations**2).sum())
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0

    def share(quantile: float) -> float:
        moved = bias + quantile
        return normal.cdf(bias + moved / (1 - acceleration * moved))

    return share(normal.inv_cdf(tail)), share(normal.inv_cdf(1 - tail))


def _checked(values: ArrayLike | Sequence[float]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected at least one value in one dimension, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("expected finite values, got NaN or infinity")
    return array
