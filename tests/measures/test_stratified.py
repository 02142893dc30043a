import numpy as np
import pytest

from fourfold.measures import bootstrap_interval, paired_difference, stratified_interval


def test_one_stratum_is_the_plain_bootstrap():
    values = np.random.default_rng(0).normal(size=200)
    ours = stratified_interval(values, ["all"] * 200, samples=20_000)
    plain = bootstrap_interval(values, samples=20_000, method="percentile")
    assert ours.value == plain.value
    assert ours.low == pytest.approx(plain.low, abs=0.01)
    assert ours.high == pytest.approx(plain.high, abs=0.01)


def test_the_spread_is_that_of_a_stratified_mean():
    """Against the formula: variance Σ (n_s/N)² s_s²/n_s, with s² over n - 1."""
    draw = np.random.default_rng(1)
    sizes, centres = [3, 8, 40, 5], [0.0, 5.0, -3.0, 20.0]
    values = np.concatenate([draw.normal(c, 1, n) for n, c in zip(sizes, centres, strict=True)])
    strata = np.repeat(np.arange(4), sizes).tolist()
    parts = [values[np.asarray(strata) == s] for s in range(4)]
    variance = sum((p.size / values.size) ** 2 * p.var(ddof=1) / p.size for p in parts)
    interval = stratified_interval(values, strata, samples=40_000)
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(np.sqrt(variance), rel=0.03)
    plain = bootstrap_interval(values)
    assert interval.high - interval.low < (plain.high - plain.low) / 3  # what lies between subjects is no chance


def test_it_covers_as_often_as_it_says():
    """Twenty subjects of six questions, differences of -1, 0 and 1: the share of intervals that hold the truth."""
    draw = np.random.default_rng(2)
    gains, losses = draw.uniform(0.05, 0.4, (2, 20))
    strata = np.repeat(np.arange(20), 6)
    truth, runs = float((gains - losses)[strata].mean()), 400
    hits = 0
    for run in range(runs):
        chance = draw.random(120)
        moved = (chance < gains[strata]).astype(float) - (chance > 1 - losses[strata])
        interval = stratified_interval(moved, strata.tolist(), samples=1000, seed=run)
        hits += interval.low <= truth <= interval.high
    assert 0.92 <= hits / runs <= 0.98


def test_strata_of_one_item_are_taken_together():
    values = [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    alone = stratified_interval(values, list(range(6)))
    assert alone.high > alone.low
    assert stratified_interval([0.5], ["x"]).low == 0.5


def test_wrong_lengths():
    with pytest.raises(ValueError, match="a stratum for each value"):
        stratified_interval([1.0, 2.0], ["a"])


def test_paired_differences_keep_their_test_and_get_the_stratified_interval():
    a, b = [0.0] * 12 + [1.0] * 8, [1.0] * 9 + [0.0] * 3 + [1.0] * 8
    plain, strata = paired_difference(a, b), paired_difference(a, b, strata=["x", "y"] * 10)
    assert plain.p_value == strata.p_value
    assert strata.method == "stratified bootstrap, McNemar exact"
    assert strata.difference == pytest.approx(plain.difference)
