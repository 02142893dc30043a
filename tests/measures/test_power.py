"""Oracle: the promised power is the share of simulated experiments that show the effect."""

import numpy as np
import pytest

from fourfold.measures import detectable_effect, detectable_effect_paired, mcnemar


def test_unpaired_equals_statsmodels_sample_size():
    power = pytest.importorskip("statsmodels.stats.proportion")
    effect = detectable_effect(200, 0.25)
    assert effect < 0.2
    theirs = power.power_proportions_2indep(effect, 0.25, 200, ratio=1, alpha=0.05)
    assert theirs.power == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("n", "discordance"), [(64, 0.3), (200, 0.1), (400, 0.45)])
def test_paired_power_by_simulation(n, discordance):
    effect = detectable_effect_paired(n, 0.5, discordance=discordance)
    share = max(discordance, effect)
    generator = np.random.default_rng(0)
    shown = 0
    for _ in range(500):
        draw = generator.random(n)
        gained, lost = draw < (share + effect) / 2, draw > 1 - (share - effect) / 2
        shown += mcnemar(lost, gained) < 0.05
    # The exact test is a little more cautious than the formula.
    assert 0.68 <= shown / 500 <= 0.86


def test_more_items_show_less_and_few_show_nothing():
    effects = [detectable_effect_paired(n, 0.5) for n in (16, 64, 256, 1024)]
    assert effects == sorted(effects, reverse=True)
    assert effects[-1] / effects[-2] == pytest.approx(0.5, abs=0.02)
    assert detectable_effect_paired(3, 0.5) == 1.0
    assert detectable_effect(2, 0.5) == 1.0
    assert detectable_effect_paired(5, 1.0) == 1.0, "five of five is p = 0.0625"
    assert detectable_effect_paired(12, 1.0) < 1.0
    assert 0.1 < detectable_effect_paired(64, 1.0) < 0.15
    assert detectable_effect(100, 0.2) == pytest.approx(detectable_effect(100, 0.8))
