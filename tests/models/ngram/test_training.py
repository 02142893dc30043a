import math

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Step
from fourfold.models.ngram import NGramLM, count_ngrams, mark_documents, smoothing_names, train_ngram, train_ngram_flat

V, START, END = 12, 0, 1


def documents(seed=0, count=60, low=2):
    """Skewed random documents, so that counts of counts are there for the discounts."""
    random = np.random.default_rng(seed)
    return [low + random.geometric(0.35, random.integers(0, 15)).clip(max=V - low) - 1 for _ in range(count)]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize(("bos", "eos"), [(START, END), (START, START), (START, None)])
def test_modified_kneser_ney_is_chen_and_goodman(slow_kneser_ney, order, bos, eos):
    texts = documents()
    model = train_ngram(texts, order=order, vocabulary_size=V, bos_id=bos, eos_id=eos)
    marked = [[bos, *map(int, text), *([] if eos is None else [eos])] for text in texts]
    outcomes = [token for token in range(V) if token != bos or bos == eos]
    slow = slow_kneser_ney(marked, order, outcomes, bos)
    for ours, theirs in zip(model.config.discounts, slow.discounts[1:], strict=True):
        assert ours == pytest.approx(theirs)
    random = np.random.default_rng(1)
    for text in [[bos, *random.integers(2, V, 12)] for _ in range(5)] + marked[:10]:
        logits, _ = model(torch.tensor([text]))
        for position in range(len(text)):
            for word in outcomes:
                expected = math.log(slow.probability(word, text[: position + 1]))
                assert logits[0, position, word].item() == pytest.approx(expected, abs=1e-5)


def test_counts_of_a_worked_example():
    # <s> a b a b </s> and <s> a c </s> with a=2, b=3, c=4
    counts = count_ngrams(mark_documents(np.array([2, 3, 2, 3, 2, 4]), [4, 6], START, END), 2, 5, START, END)
    unigrams, bigrams = counts.orders
    assert unigrams.counts.tolist() == [0, 2, 3, 2, 1]
    assert unigrams.continuations.tolist() == [0, 2, 2, 1, 1]  # </s> after b, c; a after <s>, b; b and c after a
    pairs = list(zip(bigrams.prefixes.tolist(), bigrams.words.tolist(), bigrams.counts.tolist(), strict=True))
    assert pairs == [(0, 2, 2), (2, 3, 2), (2, 4, 1), (3, 1, 1), (3, 2, 1), (4, 1, 1)]


def test_a_worked_kneser_ney_probability():
    # Bigram counts of counts of the example above: n1 = 4, n2 = 2, so D = 4 / (4 + 2*2) = 1/2;
    # continuation counts: n1 = 2, n2 = 2, so D = 2 / (2 + 4) = 1/3, their sum 6, four of them above zero.
    # P(b) = (1 - 1/3)/6 + (4 * 1/3)/6 * 1/4 = 1/9 + 1/18 = 1/6
    # P(b | a) = (2 - 1/2)/3 + (2 * 1/2)/3 * P(b) = 1/2 + 1/18 = 5/9
    model = train_ngram([[2, 3, 2, 3], [2, 4]], order=2, vocabulary_size=5, smoothing="kneser-ney", bos_id=0, eos_id=1)
    assert model.config.discounts == ((pytest.approx(1 / 3),), (0.5,))
    logits, _ = model(torch.tensor([[2]]))
    assert logits[0, 0, 3].exp().item() == pytest.approx(5 / 9)


@pytest.mark.parametrize("smoothing", sorted(set(smoothing_names()) - {"stupid-back-off"}))
@pytest.mark.parametrize(("bos", "eos"), [(START, END), (START, START), (START, None), (None, None)])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_every_distribution_sums_to_one(smoothing, bos, eos, order):
    model = train_ngram(documents(3), order=order, vocabulary_size=V, smoothing=smoothing, bos_id=bos, eos_id=eos)
    ids = torch.from_numpy(np.random.default_rng(2).integers(0, V, (4, 20)))
    hidden = torch.cat([torch.zeros(4, 1, 1, dtype=torch.long), model.hidden(Step(ids=ids))], 1)
    total = model.logits(hidden).double().exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


def test_flat_input_is_the_same(tmp_path):
    texts = documents(5)
    flat = np.concatenate(texts).astype(np.uint16)
    path = tmp_path / "shard.bin"
    flat.tofile(path)
    mapped = np.memmap(path, np.uint16, "r")
    ends = np.cumsum([len(text) for text in texts])
    one = train_ngram(texts, order=3, vocabulary_size=V, bos_id=0)
    two = train_ngram_flat(mapped, ends, order=3, vocabulary_size=V, bos_id=0)
    assert all(np.array_equal(a, b) for a, b in zip(one.trie, two.trie, strict=True))
    assert isinstance(two, NGramLM)


@pytest.mark.parametrize(
    ("texts", "options", "sentence"),
    [
        ([[2, 3]], {"order": 0}, "order out of range, expected 1 to 10, got 0"),
        ([[2, 3]], {"order": 11}, "order out of range"),
        ([[2, 99]], {}, "token id out of range, expected 0 to 11, got 99"),
        ([[2, -1]], {}, "token id out of range"),
        ([], {}, "no tokens to count"),
        ([[]], {}, "no tokens to count"),
        ([[2]], {"vocabulary_size": 0}, "vocabulary is empty"),
        ([[2]], {"smoothing": "modified-kneser-nay"}, "Did you mean 'modified-kneser-ney'"),
    ],
)
def test_bad_input_is_one_sentence(texts, options, sentence):
    with pytest.raises(UserError, match=sentence):
        train_ngram(texts, **{"order": 3, "vocabulary_size": V, "bos_id": 0, **options})


def test_all_singletons_take_the_fallback_discounts():
    model = train_ngram([[2, 3, 4, 5, 6]], order=3, vocabulary_size=V, bos_id=0)
    assert model.config.discounts == ((0.5, 1.0, 1.5),) * 3
