"""Learning rates by step number. Every schedule warms up linearly over `warmup` steps."""

from __future__ import annotations

import math
from collections.abc import Callable

from fourfold.errors import UserError, unknown_name

Schedule = Callable[[int], float]


def constant(peak: float, *, warmup: int = 0) -> Schedule:
    """`peak` after the warm-up."""
    return lambda step: peak * _ramp(step, warmup)


def linear(peak: float, steps: int, *, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Down to `final` in a straight line."""
    return lambda step: _ramp(step, warmup) * (peak + (final - peak) * _done(step, warmup, steps))


def cosine(peak: float, steps: int, *, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Half a cosine down to `final` (Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts)."""

    def rate(step: int) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * _done(step, warmup, steps)))
        return _ramp(step, warmup) * (final + (peak - final) * fall)

    return rate


def wsd(peak: float, steps: int, *, warmup: int = 0, final: float = 0.0, decay: float = 0.2) -> Schedule:
    """Warm-up, stable, decay (Hu et al. 2024, "MiniCPM", section 4.2): the last share `decay` of the steps falls.

    Departure: the fall is linear, theirs is exponential.
    """
    start = max(warmup, round(steps * (1 - decay)))
    return lambda step: _ramp(step, warmup) * (peak + (final - peak) * _done(step, start, steps))


def inverse_square_root(peak: float, *, warmup: int = 0) -> Schedule:
    """`peak` at the end of the warm-up, falling as 1 / sqrt(step) (Vaswani et al. 2017, section 5.3, equation 3)."""
    return lambda step: peak * _ramp(step, warmup) * math.sqrt(max(1, warmup) / max(1, warmup, step + 1))


def cooldown(peak: float, steps: int, *, warmup: int = 0, final: float = 0.0) -> Schedule:
    """From `peak` down as 1 - sqrt(share of the way) (Hägele et al. 2024, section 4.1): to end a constant run well."""
    return lambda step: _ramp(step, warmup) * (peak + (final - peak) * math.sqrt(_done(step, warmup, steps)))


def make_schedule(name: str, peak: float, steps: int, *, warmup: int = 0, final: float = 0.0) -> Schedule:
    """The schedule of that name, as recipes give it."""
    if steps < 1 or not 0 <= warmup <= steps:
        raise UserError("the warm-up does not fit the run", expected=f"0 to {steps} steps", got=warmup)
    endless = {"constant": constant, "inverse-square-root": inverse_square_root}
    if name in endless:
        return endless[name](peak, warmup=warmup)
    shapes = {"linear": linear, "cosine": cosine, "wsd": wsd, "cooldown": cooldown}
    if name not in shapes:
        raise unknown_name("schedule", name, [*endless, *shapes])
    return shapes[name](peak, steps, warmup=warmup, final=final)


def _ramp(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def _done(step: int, start: int, steps: int) -> float:
    """How much of the way from step `start` to the last step lies behind, 0 to 1."""
    return min(1.0, max(0.0, (step - start) / max(1, steps - 1 - start)))
