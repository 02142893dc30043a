"""Oracles: statsmodels and scipy for the tests, hand-worked tables, simulation for error rate and coverage."""

import numpy as np
import pytest

from fourfold.measures import holm, mcnemar, paired_difference, verdict_of
from fourfold.measures.comparisons import sign_flip_test


def paired(both, only_a, only_b, neither):
    a = [1] * both + [1] * only_a + [0] * only_b + [0] * neither
    b = [1] * both + [0] * only_a + [1] * only_b + [0] * neither
    return np.array(a, dtype=float), np.array(b, dtype=float)


def test_mcnemar_by_hand():
    # 1 lost and 6 gained: 2 · (C(7,0) + C(7,1)) / 2⁷ = 16/128
    assert mcnemar(*paired(10, 1, 6, 3)) == pytest.approx(0.125)
    assert mcnemar([1, 0], [1, 0]) == 1
    assert mcnemar(*paired(0, 3, 3, 0)) == 1


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 5), (2, 11), (30, 30), (40, 70), (0, 64)])
def test_mcnemar_equals_statsmodels(only_a, only_b):
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    theirs = tables.mcnemar([[7, only_a], [only_b, 9]], exact=True).pvalue
    assert mcnemar(*paired(7, only_a, only_b, 9)) == pytest.approx(theirs, rel=1e-9)


def test_sign_flip_is_mcnemar_on_right_or_wrong_scores():
    a, b = paired(5, 1, 7, 2)
    assert sign_flip_test(b - a) == pytest.approx(mcnemar(a, b))


def test_sign_flip_equals_scipy():
    stats = pytest.importorskip("scipy.stats")
    differences = np.random.default_rng(3).normal(0.3, 1, size=30)
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    ).pvalue
    assert sign_flip_test(differences, samples=20_000) == pytest.approx(theirs, abs=0.01)


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03, 0.005], [0.9, 0.2], [0.02], []])
def test_holm(p_values):
    if p_values == [0.01, 0.04, 0.03, 0.005]:  # by hand: ·4, ·3, ·2, ·1 in rising order, never falling
        assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    if p_values:
        multitest = pytest.importorskip("statsmodels.stats.multitest")
        assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])
    else:
        assert holm(p_values) == []


def test_paired_difference_of_right_or_wrong_scores():
    result = paired_difference(*paired(0, 0, 64, 0))
    assert (result.difference, result.verdict, result.n) == (1, "better", 64)
    assert 0.85 < result.low < 1, "64 of 64 is no certainty"
    assert result.high == 1
    same = paired_difference(*paired(60, 2, 3, 5))
    assert same.verdict == "no difference shown"
    assert same.low < 0 < same.high
    assert "McNemar" in same.method


def test_paired_difference_of_other_scores():
    generator = np.random.default_rng(5)
    a = generator.normal(size=80)
    worse = paired_difference(a, a - 0.5 + generator.normal(scale=0.3, size=80))
    assert worse.verdict == "worse"
    assert worse.high < 0
    lower_is_better = paired_difference(a, a - 0.5, higher_is_better=False)
    assert lower_is_better.verdict == "better"


def test_pairing_sees_what_separate_intervals_do_not():
    generator = np.random.default_rng(1)
    difficulty = generator.normal(scale=3, size=100)
    a, b = difficulty + generator.normal(size=100) * 0.1, difficulty + 0.2 + generator.normal(size=100) * 0.1
    assert paired_difference(a, b).verdict == "better"


def test_error_rate_and_coverage_by_simulation():
    generator = np.random.default_rng(7)
    false_alarms = covered = 0
    rounds = 400
    for _ in range(rounds):
        base = generator.random(80) < 0.6
        a, b = base ^ (generator.random(80) < 0.1), base ^ (generator.random(80) < 0.1)
        result = paired_difference(a, b)
        false_alarms += result.verdict != "no difference shown"
        covered += result.low <= 0 <= result.high
    assert false_alarms / rounds <= 0.07
    assert covered / rounds >= 0.92


def test_verdict_and_shapes():
    assert verdict_of(0.1, 0.04) == "better"
    assert verdict_of(0.1, 0.06) == "no difference shown"
    assert verdict_of(0.1, 0.04, level=0.99) == "no difference shown"
    with pytest.raises(ValueError, match="same length"):
        paired_difference([1, 0], [1])
