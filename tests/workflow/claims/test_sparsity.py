"""Seen n-grams, against sets of tuples."""

import math

import numpy as np
import pytest

from fourfold.workflow.claims.sparsity import coverage_of, filled


def plain(first, second, order):
    def ngrams(tokens):
        return [tuple(tokens[at : at + order]) for at in range(len(tokens) - order + 1)]

    known = set(ngrams(first))
    wanted = ngrams(second)
    return sum(ngram in known for ngram in wanted) / len(wanted), len(known)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_coverage_is_that_of_sets(order):
    random = np.random.default_rng(order)
    first, second = random.integers(0, 6, 400), random.integers(0, 7, 150)
    found = coverage_of(first, second, order, 7)
    seen, distinct = plain(first.tolist(), second.tolist(), order)
    assert found.seen == pytest.approx(seen)
    assert found.distinct == distinct


def test_the_border_between_the_texts_is_nobodys():
    first, second = np.array([1, 2, 3]), np.array([1, 2, 9])
    assert coverage_of(first, second, 2, 10).seen == 0.5
    assert coverage_of(np.array([1, 2, 3]), np.array([3, 1, 2]), 3, 10).seen == 0.0


def test_filled_is_the_share_of_what_is_possible():
    assert filled(50, 2, 100) == pytest.approx(math.log10(50 / 100**2))
