"""The smallest difference a comparison of right-or-wrong scores can be expected to show."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from fourfold.measures.intervals import normal_quantile


def detectable_effect(n: int, rate: float, power: float = 0.8, level: float = 0.95) -> float:
    """Smallest difference from `rate` that two separate groups of `n` items show with this power.

    Two-sided z-test of two proportions (Fleiss, Levin and Paik 2003, section 4.2, without
    continuity correction). The direction with more room is taken; 1.0 says that no
    possible difference would do.
    """
    base = min(rate, 1 - rate)
    z_level, z_power = normal_quantile(level), NormalDist().inv_cdf(power)

    def shown(difference: float) -> bool:
        other = base + difference
        pooled = (base + other) / 2
        needed = z_level * math.sqrt(2 * pooled * (1 - pooled)) + z_power * math.sqrt(
            base * (1 - base) + other * (1 - other)
        )
        return difference * math.sqrt(n) >= needed

    return _smallest(shown, 1 - base)


def detectable_effect_paired(
    n: int, rate: float, power: float = 0.8, level: float = 0.95, discordance: float | None = None
) -> float:
    """Smallest difference that two systems on the same `n` items show with this power.

    McNemar's test (Connor 1987, equation 2): n δ² = (z_level √ψ + z_power √(ψ - δ²))², where
    ψ is the share of items on which the two differ. Without `discordance`, ψ is that of two
    unrelated systems of this `rate`, 2 · rate · (1 - rate): cautious, as two versions of a
    model usually agree more. ψ is never below the difference itself. 1.0 says that no
    difference would do: below 6 items (at 95 %) even a clean sweep has p > 0.05 in the exact test.
    """
    if 2 / 2**n > 1 - level:
        return 1.0
    base = 2 * rate * (1 - rate) if discordance is None else discordance
    z_level, z_power = normal_quantile(level), NormalDist().inv_cdf(power)

    def shown(difference: float) -> bool:
        share = max(base, difference)
        needed = z_level * math.sqrt(share) + z_power * math.sqrt(max(0.0, share - difference**2))
        return difference * math.sqrt(n) >= needed

    return _smallest(shown, 1.0)


def _smallest(shown: Callable[[float], bool], largest: float) -> float:
    """The smallest difference that is shown, by bisection; 1.0 if even the largest is not."""
    if not shown(largest):
        return 1.0
    low, high = 0.0, largest
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high
