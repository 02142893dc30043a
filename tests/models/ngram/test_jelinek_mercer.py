"""Jelinek-Mercer: the mixture by its formula, and weights that a general optimiser finds too."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Step
from fourfold.models.ngram import count_ngrams, mark_documents, train_ngram
from fourfold.models.ngram import jelinek_mercer as method
from fourfold.models.ngram.counts import locate, part_of
from fourfold.models.ngram.jelinek_mercer import expectation_maximisation

V, START, END = 14, 0, 1


def documents(count=200, seed=0):
    """A chain in which the last token matters."""
    random = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        text = [int(random.integers(2, V))]
        while len(text) < 12:
            text.append(2 + (text[-1] * 3 + int(random.geometric(0.5))) % (V - 2))
        texts.append(text)
    return texts


def stream_of(texts):
    ends = np.cumsum([len(text) for text in texts])
    return mark_documents(np.concatenate(texts), ends, START, END)


def count(stream, order=3):
    return count_ngrams(stream, order, V, START, END)


def log_prob(model, context, word):
    step = Step(ids=torch.tensor([list(context)]))
    return model.target_log_probs(step, torch.tensor([[-1] * (len(context) - 1) + [word]]))[0, -1].item()


def test_the_mixture_by_its_formula():
    texts = documents(30)

    def probability(word, context):
        below = probability(word, context[1:]) if context else 1 / (V - 1)
        found = Counter()
        for text in texts:
            marked = (START, *text, END)
            for i in range(max(1, len(context)), len(marked)):
                if marked[i - len(context) : i] == context:
                    found[marked[i]] += 1
        total = sum(found.values())
        return 0.6 * found[word] / total + 0.4 * below if total else below

    model = train_ngram(texts, order=3, vocabulary_size=V, smoothing="jelinek-mercer:0.6", bos_id=START, eos_id=END)
    for context in [(START, 4), (5, 8), (2, 2), (13, 13)]:
        for word in range(1, V):
            assert log_prob(model, context, word) == pytest.approx(math.log(probability(word, context)), abs=1e-5)


def test_what_is_located_is_what_was_counted():
    stream = stream_of(documents(20))
    counts = count(stream)
    for order, rows in enumerate(locate(counts, stream), 1):
        inside = stream.depth >= order - 1
        assert (rows[inside] >= 0).all()
        found = np.bincount(rows[inside], minlength=len(counts.orders[order - 1]))
        if order > 1:
            assert (found == counts.orders[order - 1].counts).all()
            assert (rows[~inside] == -1).all()
    other = locate(counts, stream_of([[13, 13, 13]]))
    assert other[0].tolist() == [0, 13, 13, 13, 1]


def test_the_weights_are_those_of_a_general_optimiser(monkeypatch):
    """With one bucket an order the likelihood has as many parameters as orders, and scipy climbs it as high."""
    optimise = pytest.importorskip("scipy.optimize")
    monkeypatch.setattr(method, "EDGES", np.array([]))
    texts = documents(300)
    train, held_out = count(stream_of(texts[:40])), stream_of(texts[40:])
    ours = np.array([row[0] for row in expectation_maximisation(train, held_out)])

    def loss(weights):
        levels = method._levels(train, held_out)
        return -method._drawn(levels, [np.array([weight]) for weight in weights], 1 / (V - 1))[1]

    best = optimise.minimize(loss, [0.5] * 3, bounds=[(1e-6, 1 - 1e-6)] * 3, tol=1e-10)
    assert loss(ours) == pytest.approx(best.fun, abs=1e-3)  # ours leans towards the middle by one event


def test_fitted_weights_beat_fixed_ones_on_new_text():
    texts = documents(400)
    new = [(START, *text, END) for text in documents(50, seed=9)]

    def loss(smoothing):
        model = train_ngram(texts, order=3, vocabulary_size=V, smoothing=smoothing, bos_id=START, eos_id=END)
        rows = torch.tensor(new)
        return -model.target_log_probs(Step(ids=rows[:, :-1]), rows[:, 1:]).mean().item()

    fitted = loss("jelinek-mercer")
    assert all(fitted < loss(f"jelinek-mercer:{weight}") for weight in (0.1, 0.5, 0.95))


def test_weights_are_kept_in_the_configuration():
    model = train_ngram(documents(50), order=2, vocabulary_size=V, smoothing="jelinek-mercer", bos_id=0, eos_id=1)
    assert [len(row) for row in model.config.weights] == [len(method.EDGES) + 1] * 2
    assert all(0 < weight < 1 for row in model.config.weights for weight in row)


def test_few_documents():
    model = train_ngram([[2, 3, 4], [2, 3]], order=2, vocabulary_size=V, smoothing="jelinek-mercer", bos_id=0, eos_id=1)
    assert math.exp(log_prob(model, (2,), 3)) > 0.3
    with pytest.raises(UserError, match=r"documents it holds out, got one\. .*jelinek-mercer:0\.7"):
        train_ngram([[2, 3]], order=2, vocabulary_size=V, smoothing="jelinek-mercer", bos_id=0)
    with pytest.raises(UserError, match=r"weights from 0 to below 1, got 1\.0"):
        train_ngram([[2, 3]], order=2, vocabulary_size=V, smoothing="jelinek-mercer:1", bos_id=0)


def test_a_part_of_a_stream_is_those_documents():
    texts = documents(6)
    stream = stream_of(texts)
    number = np.cumsum(stream.depth == 0) - 1
    part = part_of(stream, number % 2 == 1)
    assert part.tokens.tolist() == stream_of(texts[1::2]).tokens.tolist()
