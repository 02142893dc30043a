"""Katz and stupid back-off against slow dictionaries, worked numbers and NLTK."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Step
from fourfold.models.ngram import train_ngram, train_word_ngram, write_arpa
from fourfold.models.ngram.back_off import good_turing_ratios

V, START, END = 60, 0, 1


def documents(count=150, seed=0):
    """Zipf's law, so that there are counts of every small count."""
    random = np.random.default_rng(seed)
    return [2 + random.zipf(1.4, random.integers(1, 15)).clip(max=V - 2) - 1 for _ in range(count)]


def log_prob(model, context, word):
    step = Step(ids=torch.tensor([list(context)]))
    return model.target_log_probs(step, torch.tensor([[-1] * (len(context) - 1) + [word]]))[0, -1].item()


class SlowKatz:
    """Katz (1987) from the equations: counts of every n-gram, discounts by order, and a sum over the unseen."""

    def __init__(self, texts, order, k=5):
        self.counts = [Counter() for _ in range(order + 1)]
        for text in texts:
            marked = (START, *map(int, text), END)
            for n in range(1, order + 1):
                self.counts[n].update(marked[i : i + n] for i in range(n == 1, len(marked) - n + 1))
        self.discounts = [None] + [self._discount(counter, k) for counter in self.counts[1:]]

    @staticmethod
    def _discount(counter, k):
        for reliable in range(k, 0, -1):
            n = Counter(counter.values())
            if not all(n[r] for r in range(1, reliable + 1)):
                continue
            spared = (reliable + 1) * n[reliable + 1] / n[1]
            if spared >= 1:
                continue
            found = {r: ((r + 1) * n[r + 1] / n[r] / r - spared) / (1 - spared) for r in range(1, reliable + 1)}
            if all(0 < ratio <= 1 for ratio in found.values()):
                return found
        return {}

    def probability(self, word, context):
        n = len(context) + 1
        found = {gram[-1]: count for gram, count in self.counts[n].items() if gram[:-1] == context}
        below = (lambda w: self.probability(w, context[1:])) if context else (lambda w: 1 / (V - 1))
        if not found:
            return below(word)
        kept = {w: self.discounts[n].get(count, 1) * count for w, count in found.items()}
        total = sum(found.values())
        if total - sum(kept.values()) < 1e-9 * total:
            total += 1
        room = 1 - sum(below(w) for w in found)
        if room < 1e-12:  # every word was seen: what was discounted goes back to them
            return kept[word] / sum(kept.values())
        if word in kept:
            return kept[word] / total
        return (1 - sum(kept.values()) / total) / room * below(word)


@pytest.mark.parametrize("order", [2, 3])
def test_katz_by_its_equations(order):
    texts = documents(2000)
    model = train_ngram(texts, order=order, vocabulary_size=V, smoothing="katz", bos_id=START, eos_id=END)
    slow = SlowKatz(texts, order)
    assert len(model.config.discounts[-1]) >= 2
    for context in [(START,), (2,), (START, 3), (3, 2), (4, 4), (9, 9), (2, 41)]:
        history = tuple(context)[1 - order :]
        for word in range(1, V, 3):
            expected = math.log(slow.probability(word, history))
            assert log_prob(model, context, word) == pytest.approx(expected, abs=1e-5)


def test_good_turing_by_hand():
    # n1 = 10, n2 = 4, n3 = 2: 1* = 2*4/10 = 0.8, 2* = 3*2/4 = 1.5; with k = 2 A = 3*2/10 = 0.6,
    # d1 = (0.8 - 0.6) / 0.4 = 0.5 and d2 = (1.5/2 - 0.6) / 0.4 = 0.375
    counts = np.array([0] * 3 + [1] * 10 + [2] * 4 + [3] * 2 + [9])
    assert good_turing_ratios(counts, 2).tolist() == pytest.approx([0, 0.5, 0.375, 1])
    assert good_turing_ratios(counts, 4) is None
    assert good_turing_ratios(np.array([1, 2, 2, 2]), 1) is None  # A = 2*3/1 > 1


def test_a_worked_katz_probability(remarks):
    # <s> a b </s>, <s> a b </s>, <s> a c </s> with a=2, b=3, c=4. Bigrams: <s>a 3, ab 2, ac 1, b</s> 2, c</s> 1:
    # n1 = 2, n2 = 2, n3 = 1. k = 2 gives A = 3*1/2 > 1; k = 1 gives A = 2*2/2 > 1: no discounts, totals one higher.
    # P(b | a) = 2/4, P(c | a) = 1/4, and a quarter is left for the rest.
    model = train_ngram([[2, 3], [2, 3], [2, 4]], order=2, vocabulary_size=6, smoothing="katz", bos_id=0, eos_id=1)
    assert math.exp(log_prob(model, (0, 2), 3)) == pytest.approx(1 / 2)
    assert math.exp(log_prob(model, (0, 2), 4)) == pytest.approx(1 / 4)
    unseen = [math.exp(log_prob(model, (0, 2), word)) for word in (1, 2, 5)]
    assert sum(unseen) == pytest.approx(1 / 4)
    assert any("Good-Turing" in remark for remark in remarks)


def test_stupid_back_off_is_nltk(tmp_path):
    lm = pytest.importorskip("nltk.lm")
    pipeline = pytest.importorskip("nltk.lm.preprocessing")
    sentences = [[f"w{token}" for token in text] for text in documents(60, seed=4)]
    (tmp_path / "text.txt").write_text("\n".join(map(" ".join, sentences)) + "\n")
    model, words = train_word_ngram([tmp_path / "text.txt"], 3, "stupid-back-off")
    assert not model.config.normalised
    ngrams, vocabulary = pipeline.padded_everygram_pipeline(3, sentences)
    theirs = lm.StupidBackoff(alpha=0.4, order=3)
    theirs.fit(ngrams, vocabulary)
    checked = 0
    for first in ("w2", "w3", "w9"):
        for second in ("w2", "w4", "w10"):
            for word in ("w2", "w3", "w10"):
                ids = words.encode(f"{first} {second}")
                if not theirs.counts[(second,)].N() or not theirs.counts[(first, second)].N():
                    continue  # NLTK multiplies by alpha for contexts that were never seen too
                expected = theirs.score(word, (first, second))
                if not theirs.counts[(second,)][word]:  # NLTK counts the marks among the words, we do not count <s>
                    total = theirs.counts.unigrams.N()
                    expected *= total / (total - 2 * len(sentences))
                    starts = theirs.counts.unigrams["</s>"] - len(sentences)
                    expected *= (total - 2 * len(sentences)) / (total - 2 * len(sentences) - starts)
                assert math.exp(log_prob(model, ids, words.encode(word)[0])) == pytest.approx(expected, rel=1e-5)
                checked += 1
    assert checked > 10


def test_back_off_models_read_the_same_in_kenlm(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    lines = [" ".join(f"w{token}" for token in text) for text in documents(80)]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n")
    for name in ("katz", "stupid-back-off:0.3"):
        model, words = train_word_ngram([tmp_path / "text.txt"], 3, name)
        write_arpa(model, tmp_path / "m.arpa", words.words)
        theirs = kenlm.Model(str(tmp_path / "m.arpa"))
        for line in [*lines[:20], "w10 w10 w10 unknown w2"]:
            ids = [words.bos_id, *words.encode(line), words.eos_id]
            row = torch.tensor([ids])
            ours = model.target_log_probs(Step(ids=row[:, :-1]), row[:, 1:])[0] / math.log(10)
            assert ours.tolist() == pytest.approx([score for score, _, _ in theirs.full_scores(line)], abs=1e-4)


@pytest.mark.parametrize("name", ["stupid-back-off:0", "stupid-back-off:1.5", "stupid-back-off:x"])
def test_stupid_back_off_needs_a_factor(name):
    with pytest.raises(UserError, match=r"stupid.back-off needs a (number|factor)"):
        train_ngram([[2]], order=2, vocabulary_size=V, smoothing=name, bos_id=0)
