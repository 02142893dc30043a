"""Numbers that differ between random seeds: few of them, so Student's interval and not the bootstrap.

Three values resampled know nothing beyond the smallest and the largest of them; Student's
distribution says how much wider an honest interval has to be.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fourfold.measures.intervals import Interval


def student_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The mean of independent repetitions with Student's interval (1908).

    One value has no interval: low and high are then NaN.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"expected at least one finite value in one dimension, got {array.tolist()}")
    mean = float(array.mean())
    if array.size == 1:
        return Interval(mean, math.nan, math.nan, "one repetition: no interval")
    half = student_quantile(array.size - 1, level) * standard_error(values)
    return Interval(mean, mean - half, mean + half, "Student")


def detectable_shift(values: ArrayLike, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest true mean that this many repetitions, spread like these, show with this power.

    Student's quantiles in place of the normal ones of the usual formula (Cohen 1988, section 2.2), which is close
    for ten repetitions and on the cautious side for three. NaN for one value.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return math.nan
    freedom = array.size - 1
    return (student_quantile(freedom, level) + student_quantile(freedom, 2 * power - 1)) * standard_error(values)


def standard_error(values: ArrayLike) -> float:
    """Of the mean of at least two values."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.std(ddof=1) / math.sqrt(array.size))


def student_quantile(freedom: int, level: float = 0.95) -> float:
    """t such that Student's variable of `freedom` degrees lies within ±t with probability `level`."""
    if not 0 < level < 1 or freedom < 1:
        raise ValueError(f"expected a level between 0 and 1 and at least one degree of freedom, got {level}, {freedom}")
    low, high = 0.0, 1.0
    while within(high, freedom) < level:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < level else (low, middle)
        if low == middle == high:
            break
    return high


def within(t: float, freedom: int) -> float:
    """P(|T| <= t) for a whole number of degrees of freedom (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    if freedom % 2 == 0:
        total, term = 0.0, 1.0
        for even in range(0, freedom - 1, 2):
            total += term
            term *= cosine**2 * (even + 1) / (even + 2)
        return sine * total
    total, term = 0.0, cosine
    for odd in range(1, freedom - 1, 2):
        total += term
        term *= cosine**2 * (odd + 1) / (odd + 2)
    return 2 / math.pi * (angle + sine * total)
