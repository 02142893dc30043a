"""The compiled steps of word2vec against the plain ones, on the same random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from fourfold.kernels import ContextShape, new_context_work, train_contexts, train_contexts_plain
from fourfold.models.vectors import make_draws, make_paths, no_paths

WORDS, SIZE = 40, 16


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("skip_gram", [True, False])
def test_the_kernel_is_the_plain_version(skip_gram: bool, tree: bool) -> None:
    random = np.random.default_rng(3)
    tokens = (WORDS * random.random(300) ** 2).astype(np.int32)
    counts = np.bincount(tokens, minlength=WORDS) + 1
    ends = np.array([1, 60, 62, 300])
    shape = ContextShape(skip_gram, 4, 0 if tree else 5)
    paths = make_paths(counts) if tree else no_paths(WORDS)
    start = random.normal(0, 0.5, (2, WORDS, SIZE)).astype(np.float32)
    results = []
    for train in (train_contexts, train_contexts_plain):
        matrices = start.copy()
        work = new_context_work(*matrices, make_draws(counts, 0.01), paths, shape, 0.05)
        kept = train(work, tokens, ends, 77 << 32 | 5)
        results.append((kept, matrices))
    (kept, fast), (plain_kept, plain) = results
    assert kept == plain_kept
    assert 0 < kept < len(tokens)
    assert np.abs(fast - start).max() > 0.01
    # Rows drawn twice for one word are multiplied before the first change in both.
    np.testing.assert_allclose(fast, plain, atol=2e-5)
