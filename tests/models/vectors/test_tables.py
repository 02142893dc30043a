from __future__ import annotations

import math

import numpy as np

from fourfold.models.vectors import alias_table, keep_probabilities, make_paths


def test_alias_columns_add_up_to_the_weights() -> None:
    weights = np.random.default_rng(0).pareto(1.0, 200) + 1e-3
    limits, alias = alias_table(weights)
    shares = limits.copy()
    np.add.at(shares, alias, 1 - limits)
    np.testing.assert_allclose(shares / len(weights), weights / weights.sum(), rtol=1e-9)


def test_the_tree_is_huffmans() -> None:
    counts = np.array([50, 20, 12, 9, 9])
    paths = make_paths(counts)
    lengths = np.diff(paths.start)
    assert lengths.tolist() == [1, 2, 3, 4, 4]  # by hand: 9 + 9, 12 + 18, 20 + 30, 50 + 50
    assert {int(paths.node[start]) for start in paths.start[:-1]} == {0}  # all begin at the root
    codes = {tuple(paths.turn[a:b]) for a, b in zip(paths.start, paths.start[1:], strict=False)}
    assert len(codes) == 5
    assert sum(2.0**-length for length in lengths) == 1
    random = np.sort(np.random.default_rng(1).integers(1, 1000, 64))[::-1]
    paths = make_paths(random)
    entropy = -sum(p * math.log2(p) for p in random / random.sum())
    mean = float((np.diff(paths.start) * random).sum() / random.sum())
    assert entropy <= mean < entropy + 1
    assert set(paths.node) == set(range(63))


def test_subsampling_by_hand() -> None:
    counts = np.array([900, 100])
    # shares of the threshold: 0.01 / 0.9 and 0.01 / 0.1
    expected = [math.sqrt(0.01 / 0.9) + 0.01 / 0.9, math.sqrt(0.1) + 0.1]
    np.testing.assert_allclose(keep_probabilities(counts, 0.01), expected)
    assert keep_probabilities(counts, 0).tolist() == [1, 1]
