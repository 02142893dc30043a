import numpy as np
import pytest

from fourfold.kernels import add_occurrences, refine, refine_plain, refining


@pytest.mark.parametrize("bits", [63, 20])  # with 20, a bucket holds the n-grams of a group or two
@pytest.mark.parametrize("vocabulary", [1, 3, 400])
@pytest.mark.parametrize("size", [1, 2, 300, 3000])
def test_refining_is_numpy_unique_of_pairs(monkeypatch, bits, vocabulary, size):
    needed = (vocabulary - 1).bit_length() + size.bit_length() + 1
    monkeypatch.setattr(refining, "BITS", max(bits, needed))
    random = np.random.default_rng(size)
    tokens = random.integers(0, vocabulary, size).astype(np.int32)
    fresh = random.random(size) < 0.05
    fresh[0] = True
    place = np.arange(size)
    depth = (place - np.maximum.accumulate(np.where(fresh, place, 0))).clip(0, 255).astype(np.uint8)
    fast_nodes, plain_nodes = tokens.copy(), tokens.copy()
    groups = vocabulary
    for length in range(2, 6):
        fast = refine(tokens, depth, fast_nodes, length, groups, vocabulary)
        plain = refine_plain(tokens, depth, plain_nodes, length, groups, vocabulary)
        for name, one, other in zip(fast._fields, fast, plain, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)
        np.testing.assert_array_equal(fast_nodes, plain_nodes)
        groups = len(fast.words)


def test_groups_are_the_ngrams():
    tokens = np.array([1, 2, 1, 2, 1, 2, 0, 1, 2], np.int32)
    depth = np.array([0, 1, 2, 3, 4, 5, 6, 0, 1], np.uint8)  # the second document begins at the last 1
    two = refine(tokens, depth, tokens.copy(), 2, 3, 3)
    pairs = list(zip(two.prefixes.tolist(), two.words.tolist(), strict=True))
    assert pairs == [(1, 2), (2, 0), (2, 1)]
    assert two.counts.tolist() == [4, 1, 2]
    assert two.suffixes.tolist() == [2, 0, 1]


def test_occurrences_are_added():
    tally = np.array([5, 0, 0], np.int32)
    add_occurrences(np.array([0, 2, 2], np.int32), tally)
    assert tally.tolist() == [6, 0, 2]
