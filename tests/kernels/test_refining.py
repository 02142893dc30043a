import numpy as np
import pytest

from fourfold.kernels import group_tokens, refine, refine_plain


@pytest.mark.parametrize("vocabulary", [1, 3, 400])
@pytest.mark.parametrize("size", [1, 2, 300, 3000])
def test_refining_is_numpy_unique_of_pairs(vocabulary, size):
    random = np.random.default_rng(size)
    tokens = random.integers(0, vocabulary, size).astype(np.int32)
    fresh = random.random(size) < 0.05
    fresh[0] = True
    place = np.arange(size)
    depth = (place - np.maximum.accumulate(np.where(fresh, place, 0))).astype(np.int32)
    positions, starts = group_tokens(tokens, vocabulary)
    np.testing.assert_array_equal(tokens[positions], np.sort(tokens))
    fast_nodes, plain_nodes = tokens.copy(), tokens.copy()
    for _ in range(4):
        fast = refine(tokens, depth, fast_nodes, positions, starts)
        plain = refine_plain(tokens, depth, plain_nodes, positions, starts)
        for one, other in zip(fast, plain, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(fast_nodes, plain_nodes)
        positions, starts = fast.positions, fast.starts


def test_groups_are_the_ngrams():
    tokens = np.array([1, 2, 1, 2, 1, 2, 0, 1, 2], np.int32)
    depth = np.array([0, 1, 2, 3, 4, 5, 6, 0, 1], np.int32)  # the second document begins at the last 1
    nodes = tokens.copy()
    two = refine(tokens, depth, nodes, *group_tokens(tokens, 3))
    pairs = list(zip(two.prefixes.tolist(), two.words.tolist(), strict=True))
    assert pairs == [(1, 2), (2, 0), (2, 1)]
    assert np.diff(two.starts).tolist() == [4, 1, 2]
    assert two.suffixes.tolist() == [2, 0, 1]
