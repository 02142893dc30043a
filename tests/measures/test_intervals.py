"""Oracles: statsmodels for Wilson, scipy for the bootstrap, simulation for coverage."""

import math

import numpy as np
import pytest

from fourfold.measures import (
    bootstrap_interval,
    is_binary,
    mean_interval,
    mean_of_means_interval,
    ratio_interval,
    wilson_interval,
)


def test_wilson_by_hand():
    # 64 of 64 with z = 1.959964: low = n / (n + z²) = 64 / 67.841459
    interval = wilson_interval(64, 64)
    assert interval.value == 1
    assert interval.low == pytest.approx(64 / (64 + 1.959963985**2), abs=1e-9)
    assert interval.high == 1
    assert wilson_interval(0, 64).low == 0
    assert wilson_interval(0, 64).high == pytest.approx(1 - interval.low)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 10), (37, 64), (64, 64), (250, 1000)])
def test_wilson_equals_statsmodels(successes, n):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    low, high = proportion.proportion_confint(successes, n, alpha=0.05, method="wilson")
    interval = wilson_interval(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("method", "their_name"), [("bca", "BCa"), ("percentile", "percentile")])
def test_bootstrap_equals_scipy(method, their_name):
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(4).exponential(size=40)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method=their_name, rng=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap_interval(values, samples=40_000, method=method)
    spread = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * spread)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * spread)


def test_ratio_bootstrap_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(2)
    lengths = generator.uniform(1, 3, size=32)
    nats = lengths * generator.gamma(9, 0.1, size=32)

    def ratio(x, y, axis=-1):
        return x.sum(axis=axis) / y.sum(axis=axis)

    theirs = stats.bootstrap(
        (nats, lengths), ratio, paired=True, vectorized=True, n_resamples=40_000, method="BCa", rng=generator
    ).confidence_interval
    ours = ratio_interval(nats, lengths, samples=40_000)
    spread = theirs.high - theirs.low
    assert ours.value == pytest.approx(nats.sum() / lengths.sum())
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * spread)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * spread)


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(0)
    rounds = 400
    skewed = sum(
        interval.low <= 1 <= interval.high
        for interval in (bootstrap_interval(generator.exponential(size=60), samples=1000) for _ in range(rounds))
    )
    binary = sum(
        interval.low <= 0.9 <= interval.high
        for interval in (mean_interval(generator.random(64) < 0.9) for _ in range(rounds))
    )
    assert 0.90 <= skewed / rounds <= 0.98
    assert 0.92 <= binary / rounds <= 0.99


def test_choice_of_method_and_seed():
    assert mean_interval([1, 1, 0]).method == "Wilson"
    assert mean_interval([0.5, 1, 0]).method == "BCa bootstrap"
    assert not is_binary([0, 0.5])
    values = np.random.default_rng(1).normal(size=50)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    constant = bootstrap_interval([0.3] * 10)
    assert (constant.low, constant.high) == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize("values", [[], [[1.0]], [math.nan], [math.inf, 1]])
def test_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError, match="expected"):
        bootstrap_interval(values)


def test_refuses_impossible_counts_and_methods():
    with pytest.raises(ValueError, match="5 of 3"):
        wilson_interval(5, 3)
    with pytest.raises(ValueError, match="'bca' or 'percentile'"):
        bootstrap_interval([1.0, 2.0], method="normal")
    with pytest.raises(ValueError, match="level"):
        wilson_interval(1, 3, level=95)


def test_the_mean_of_means_has_no_bounds_where_nothing_varies_within_groups():
    for groups in ([[1], [0]], [[1, 1], [0], [0, 0]]):
        assert math.isnan(mean_of_means_interval(groups).low)
    interval = mean_of_means_interval([[1, 0], [1, 1]])
    half = 1.959963985 * math.sqrt(0.25 * (1 / 2 + 1 / 2)) / 2
    assert (interval.low, interval.high) == pytest.approx((0.75 - half, 0.75 + half))
