"""Numbers of a model as entries of a book."""

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.kernels import unpacked
from fourfold.models.ngram import load_ngram, quantize_ngram, save_ngram, train_ngram
from fourfold.models.protocols import Step


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    return train_ngram(
        [random.zipf(1.3, 40).clip(3, 300) for _ in range(300)], order=3, vocabulary_size=301, bos_id=1, eos_id=2
    )


def scores(model, ids):
    return model.target_log_probs(Step(ids=ids[:, :-1]), ids[:, 1:]).numpy()


@pytest.mark.parametrize(("bits", "mean"), [(8, 0.02), (16, 1e-4)])
def test_queries_are_those_of_the_numbers_in_the_books(model, tmp_path, bits, mean):
    small, mean_error, largest_error = quantize_ngram(model, bits)
    assert 0 < mean_error < mean
    assert mean_error < largest_error
    ids = torch.from_numpy(np.random.default_rng(1).zipf(1.3, (4, 60)).clip(3, 300))
    ids[:, 0] = 1
    plain = type(model)(model.config, unpacked(small.trie))
    np.testing.assert_array_equal(scores(small, ids), scores(plain, ids))
    assert np.abs(scores(small, ids) - scores(model, ids)).mean() < 3 * mean
    rows, _ = small(ids)
    np.testing.assert_allclose(rows.exp().sum(-1), 1.0, atol=0.1 if bits == 8 else 1e-3)
    save_ngram(small, tmp_path)
    np.testing.assert_array_equal(scores(load_ngram(tmp_path), ids), scores(small, ids))
    if bits == 8:  # books of 16 bits are larger than so small a model
        assert (tmp_path / "model.safetensors").stat().st_size < sum(array.nbytes for array in model.trie)


def test_never_and_nothing_stay_exact(model):
    small = unpacked(quantize_ngram(model, 8).model.trie)
    for name in ("log_prob", "back_off"):
        before = getattr(model.trie, name)
        for number in (0.0, before.min() if name == "log_prob" else 0.0):
            np.testing.assert_array_equal(getattr(small, name) == number, before == number)


def test_bad_bits_and_damaged_books_are_refused(model, tmp_path):
    with pytest.raises(UserError, match="expected 8 or 16 bits, got 4"):
        quantize_ngram(model, 4)
    small = quantize_ngram(model, 8).model
    save_ngram(type(model)(small.config, small.trie._replace(log_prob_book=small.trie.log_prob_book[:3])), tmp_path)
    with pytest.raises(UserError, match="do not fit their books"):
        load_ngram(tmp_path)
