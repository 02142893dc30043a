import importlib.util

import numpy as np
import pytest

from fourfold.kernels import (
    Trie,
    compiled,
    dense_rows,
    dense_rows_plain,
    walk,
    walk_plain,
    walk_scored,
    walk_scored_plain,
)


@pytest.fixture
def trie():
    # tokens 0, 1, 2 are nodes 1, 2, 3; bigrams (0,1)=4, (1,0)=5, (1,2)=6; trigrams (0,1,0)=7, (0,1,2)=8, (1,0,1)=9
    return Trie(
        word=np.array([0, 0, 1, 2, 1, 0, 2, 0, 2, 1], np.int32),
        suffix=np.array([0, 0, 0, 0, 2, 1, 3, 5, 6, 4], np.int32),
        log_prob=-np.arange(10, dtype=np.float32) / 8,
        first_child=np.array([1, 4, 5, 7, 7, 9, 10, 10], np.int32),
        back_off=-np.array([0, 1, 2, 4, 8, 16, 32], np.float32),
    )


@pytest.fixture
def inputs():
    random = np.random.default_rng(0)
    ids = random.integers(0, 3, (6, 25))
    targets = np.concatenate([ids[:, 1:], random.integers(-1, 3, (6, 1))], axis=1)
    targets[:2] = random.integers(-1, 3, (2, 25))
    lengths = np.array([25, 0, 1, 7, 25, 24])
    return ids, targets, lengths, random.random((6, 25)) < 0.1, random.integers(0, 7, 6)


def test_a_worked_query(trie):
    # After 0, 1 the context is node 4. P(0) is stored; P(1) backs off from (0,1) and from (1) to the unigram.
    rows = dense_rows(trie, np.array([4]), 3)
    assert rows.tolist() == [[-7 / 8, -8 - 2 - 2 / 8, -1.0]]
    one_row, all_of_it, no_restart = np.array([[0, 1, 0]]), np.array([3]), np.zeros((1, 3), np.bool_)
    assert walk(trie, one_row, all_of_it, no_restart, np.array([0])).tolist() == [[1, 4, 5]]


def test_compiled_is_plain(trie, inputs):
    ids, targets, lengths, fresh, start = inputs
    nodes = walk(trie, ids, lengths, fresh, start)
    np.testing.assert_array_equal(nodes, walk_plain(trie, ids, lengths, fresh, start))
    expected_nodes, expected = walk_scored_plain(trie, ids, targets, lengths, fresh, start)
    found_nodes, found = walk_scored(trie, ids, targets, lengths, fresh, start)
    np.testing.assert_array_equal(found_nodes, expected_nodes)
    np.testing.assert_array_equal(found_nodes, nodes)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    everywhere = np.arange(7)
    np.testing.assert_allclose(dense_rows(trie, everywhere, 3), dense_rows_plain(trie, everywhere, 3), rtol=1e-6)


def test_without_numba_the_function_itself_runs(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("fourfold.kernels.jit.find_spec", lambda name: None)

    def double(x):
        return 2 * x

    assert compiled(double) is double
