"""Intervals over repetitions, against SciPy and the printed table."""

import math

import numpy as np
import pytest

from fourfold.measures import detectable_shift, student_interval, student_quantile


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.706), (2, 4.303), (4, 2.776), (5, 2.571), (30, 2.042)])
def test_quantiles_are_those_of_the_printed_table(freedom, t):
    assert student_quantile(freedom) == pytest.approx(t, abs=5e-4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 12, 40])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99, 0.998])
def test_quantiles_agree_with_scipy(freedom, level):
    stats = pytest.importorskip("scipy.stats")
    assert student_quantile(freedom, level) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=1e-9)


def test_the_interval_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = np.array([1.02, 0.97, 1.11])
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert student_interval(values)[:3] == pytest.approx((values.mean(), low, high))


def test_the_interval_covers_what_it_promises():
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(2000):
        interval = student_interval(generator.normal(0.3, 1.0, 3))
        hits += interval.low <= 0.3 <= interval.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_one_value_has_no_interval_and_nonsense_is_refused():
    one = student_interval([2.0])
    assert one.value == 2.0
    assert math.isnan(one.low)
    assert math.isnan(detectable_shift([1.0]))
    for values in ([], [math.nan, 1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="expected at least one finite value"):
            student_interval(values)


def test_a_shift_of_the_detectable_size_is_shown_as_often_as_said():
    generator = np.random.default_rng(6)
    spread = generator.normal(0, 1, 10)
    spread = (spread - spread.mean()) / spread.std(ddof=1)
    shift = detectable_shift(spread)
    shown = sum(student_interval(generator.normal(shift, 1.0, 10)).low > 0 for _ in range(2000))
    assert shown / 2000 == pytest.approx(0.8, abs=0.05)
