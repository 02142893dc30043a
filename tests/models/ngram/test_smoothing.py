import math
from collections import Counter

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Step
from fourfold.models.ngram import train_ngram, train_word_ngram

V, START, END = 9, 0, 1


def documents(seed=0):
    random = np.random.default_rng(seed)
    return [2 + random.geometric(0.35, random.integers(1, 15)).clip(max=V - 3) - 1 for _ in range(50)]


def log_prob(model, context, word):
    """log P(word | context), the context read from nothing."""
    step = Step(ids=torch.tensor([list(context)]))
    return model.target_log_probs(step, torch.tensor([[-1] * (len(context) - 1) + [word]]))[0, -1].item()


def followers_of(texts, context):
    """Counts of what follows `context`, by looking at every place."""
    found = Counter()
    for text in texts:
        marked = (START, *map(int, text), END)
        for i in range(max(1, len(context)), len(marked)):
            if marked[i - len(context) : i] == context:
                found[marked[i]] += 1
    return found


def witten_bell(texts, word, context):
    lower = witten_bell(texts, word, context[1:]) if context else 1 / (V - 1)
    found = followers_of(texts, context)
    total = sum(found.values())
    return (found[word] + len(found) * lower) / (total + len(found)) if total else lower


def absolute(texts, word, context, discounts):
    lower = absolute(texts, word, context[1:], discounts) if context else 1 / (V - 1)
    found = followers_of(texts, context)
    total, discount = sum(found.values()), discounts[len(context)]
    return (max(found[word] - discount, 0) + discount * len(found) * lower) / total if total else lower


def discount_of(texts, order):
    counts = Counter()
    for text in texts:
        marked = (START, *map(int, text), END)
        counts.update(marked[i : i + order] for i in range(order == 1, len(marked) - order + 1))
    ones, twos = (sum(count == n for count in counts.values()) for n in (1, 2))
    return ones / (ones + 2 * twos) if ones and twos else 0.5


CONTEXTS = [(START,), (START, 2), (2, 2), (3, 2), (7, 8), (4,), (START, 3, 2), (5, 3)]


@pytest.mark.parametrize("context", CONTEXTS)
def test_witten_bell_and_absolute_discounting_by_their_formulas(context):
    texts = documents()
    bell = train_ngram(texts, order=3, vocabulary_size=V, smoothing="witten-bell", bos_id=START, eos_id=END)
    ney = train_ngram(texts, order=3, vocabulary_size=V, smoothing="absolute-discounting", bos_id=START, eos_id=END)
    discounts = [discount_of(texts, order) for order in (1, 2, 3)]
    assert ney.config.discounts == tuple((pytest.approx(discount),) for discount in discounts)
    for word in range(1, V):
        expected = math.log(witten_bell(texts, word, context[-2:]))
        assert log_prob(bell, context, word) == pytest.approx(expected, abs=1e-5)
        expected = math.log(absolute(texts, word, context[-2:], discounts))
        assert log_prob(ney, context, word) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("name", "k"), [("maximum-likelihood", None), ("add-k", 1.0), ("add-k:0.1", 0.1)])
@pytest.mark.parametrize("order", [2, 3])
def test_simple_smoothers_are_nltk(tmp_path, name, k, order):
    lm = pytest.importorskip("nltk.lm")
    pipeline = pytest.importorskip("nltk.lm.preprocessing")
    sentences = [[f"w{token}" for token in text] for text in documents(4)]
    (tmp_path / "text.txt").write_text("\n".join(map(" ".join, sentences)) + "\n")
    model, words = train_word_ngram([tmp_path / "text.txt"], order, name)
    ngrams, vocabulary = pipeline.padded_everygram_pipeline(order, sentences)
    theirs = lm.MLE(order) if k is None else lm.Lidstone(k, order)
    theirs.fit(ngrams, vocabulary)
    history = ["<s>"] * (order - 1)
    for word in [*sentences[0], *sentences[1], "</s>"]:
        context = tuple(history[1 - order :])
        expected = theirs.score(word, context)
        if k is not None:  # NLTK has <s> among the outcomes, we do not
            total, size = theirs.counts[context].N(), len(theirs.vocab)
            expected *= (total + k * size) / (total + k * (size - 1))
        ids = [words.bos_id, *words.encode(" ".join(history[order - 1 :]))]
        target = words.eos_id if word == "</s>" else words.encode(word)[0]
        assert math.exp(log_prob(model, ids, target)) == pytest.approx(expected, rel=1e-5)
        history.append(word)


def test_maximum_likelihood_gives_the_unseen_nothing():
    model = train_ngram([[2, 3]], order=2, vocabulary_size=V, smoothing="maximum-likelihood", bos_id=START, eos_id=END)
    assert log_prob(model, (START,), 2) == 0
    assert log_prob(model, (2,), 4) == -math.inf
    assert log_prob(model, (4,), 2) == pytest.approx(math.log(1 / 3))  # an unseen context takes the shorter one


@pytest.mark.parametrize("name", ["add-k:0", "add-k:-1", "add-k:x", "add-k:nan", "add-k:inf"])
def test_add_k_needs_a_positive_number(name):
    with pytest.raises(UserError, match="add-k needs a"):
        train_ngram([[2]], order=2, vocabulary_size=V, smoothing=name, bos_id=0)
