"""Dropping n-grams by count and by entropy: what goes, and that what stays is still a distribution."""

import math

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Step
from fourfold.models.ngram import (
    count_ngrams,
    load_ngram,
    mark_documents,
    prune_by_entropy,
    save_ngram,
    smoothing_names,
    train_ngram,
    train_word_ngram,
    write_arpa,
)
from fourfold.models.ngram.layout import levels_of

V, START, END = 60, 0, 1


def documents(count=120, seed=0):
    random = np.random.default_rng(seed)
    return [2 + random.zipf(1.4, random.integers(1, 15)).clip(max=V - 2) - 1 for _ in range(count)]


def train(order=3, smoothing="modified-kneser-ney", texts=None, **options):
    texts = documents() if texts is None else texts
    return train_ngram(texts, order=order, vocabulary_size=V, smoothing=smoothing, bos_id=START, eos_id=END, **options)


def distributions(model):
    """(N, V) probabilities after the start of text and after many random contexts."""
    ids = torch.from_numpy(np.random.default_rng(2).integers(0, V, (6, 20)))
    hidden = torch.cat([torch.zeros(6, 1, 1, dtype=torch.long), model.hidden(Step(ids=ids))], 1)
    return model.logits(hidden).double().exp().reshape(-1, V)


def grams_of(model):
    """Every stored n-gram, by order."""
    found, tables = [], levels_of(model.trie, model.config.ngrams)
    for level in tables:
        before = found[-1] if found else [()]
        found.append([(*before[prefix], int(word)) for prefix, word in zip(level.prefixes, level.words, strict=True)])
    return found


def test_count_pruning_drops_the_rare_and_keeps_the_rest():
    whole, pruned = train(), train(prune=(0, 1, 2))
    texts = documents()
    counts = count_ngrams(
        mark_documents(np.concatenate(texts), np.cumsum([len(text) for text in texts]), START, END), 3, V, START, END
    )
    for order, (gram_list, before) in enumerate(zip(grams_of(pruned), grams_of(whole), strict=True), 1):
        threshold = (-1, 1, 2)[order - 1]
        expected = {gram for gram, n in zip(before, counts.orders[order - 1].counts, strict=True) if n > threshold}
        assert set(gram_list) == expected
    assert pruned.config.discounts == whole.config.discounts  # estimated before anything is dropped
    assert pruned.config.ngrams[1] < whole.config.ngrams[1]


def test_a_worked_pruned_probability():
    # The bigrams of <s> a b a b </s>, <s> a c </s> (a=2, b=3, c=4): ab 2 and <s>a 2 stay under 0,1. Kneser-Ney as in
    # test_training: D = 1/2, P(b) = 1/6, so P(b | a) = 3/6 + 1/2 * P(b) with left(a) = 2*(1/2)/3 + (1 - 1/2)/3 = 1/2.
    model = train_ngram(
        [[2, 3, 2, 3], [2, 4]], order=2, vocabulary_size=5, smoothing="kneser-ney", bos_id=0, eos_id=1, prune=(0, 1)
    )
    assert model.config.ngrams == (5, 2)
    logits, _ = model(torch.tensor([[2]]))
    assert logits[0, 0, 3].exp().item() == pytest.approx(1 / 2 + 1 / 2 * 1 / 6)


@pytest.mark.parametrize("smoothing", sorted(set(smoothing_names()) - {"stupid-back-off"}))
@pytest.mark.parametrize("prune", [(0, 0, 1), (0, 2), (0, 100)])
def test_pruned_distributions_sum_to_one(smoothing, prune):
    total = distributions(train(smoothing=smoothing, prune=prune)).sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


@pytest.mark.parametrize("prune", [(1,), (0, 2, 1), (0, -1), (0, 0, 0, 1)])
def test_thresholds_that_cannot_prune(prune):
    with pytest.raises(UserError, match="these thresholds cannot prune, expected 0 and then rising"):
        train(prune=prune)


@pytest.mark.parametrize("threshold", [1e-5, 1e-4, 1e-3, 1e-2])
def test_entropy_pruning_drops_what_costs_little(threshold):
    """Each bigram's cost, found by taking it out alone and comparing whole distributions."""
    model = train(2)
    first = np.exp(model.trie.log_prob[1 : V + 1].astype(float))
    first[START] = first[END]
    expected = set()
    for context, word in grams_of(model)[1]:
        row = distributions_after(model, context)
        stored = [w for c, w in grams_of(model)[1] if c == context and w != word]
        kept = row[stored].sum()
        weight = (1 - kept) / (1 - first_row(model)[stored].sum())
        without = weight * first_row(model)
        without[stored] = row[stored]
        support = [w for w in range(V) if w != START]
        divergence = first[context] * np.sum(row[support] * np.log(row[support] / without[support]))
        if math.expm1(divergence) >= threshold:
            expected.add((context, word))
    pruned = prune_by_entropy(model, threshold)
    assert set(grams_of(pruned)[1]) == expected
    total = distributions(pruned).sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


def first_row(model):
    return distributions_after(model, None)


def distributions_after(model, token):
    here = Step(ids=torch.tensor([[token or 0]]))
    hidden = torch.zeros(1, 1, 1, dtype=torch.long) if token is None else model.hidden(here)
    row = model.logits(hidden)[0, 0].double().exp().numpy()
    row[START] = 0
    return row


@pytest.mark.parametrize("smoothing", ["modified-kneser-ney", "katz", "witten-bell", "maximum-likelihood"])
@pytest.mark.parametrize("threshold", [1e-4, 1e-3])
def test_deep_models_stay_whole(smoothing, threshold):
    model = train(4, smoothing)
    pruned = prune_by_entropy(model, threshold)
    assert sum(pruned.config.ngrams) < sum(model.config.ngrams)
    total = distributions(pruned).sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-4, rtol=0)
    stored = {gram for grams in grams_of(pruned) for gram in grams}
    assert all(gram[:-1] in stored and gram[1:] in stored for gram in stored if len(gram) > 1)


def test_more_pruning_is_smaller_and_worse():
    model = train(3, texts=documents(400))
    held_out = [torch.tensor([[START, *map(int, text), END]]) for text in documents(50, seed=7)]

    def loss(one):
        return -np.mean([one.target_log_probs(Step(ids=ids[:, :-1]), ids[:, 1:]).sum().item() for ids in held_out])

    models = [model, *(prune_by_entropy(model, threshold) for threshold in (1e-6, 1e-4, 1e-2))]
    sizes = [sum(one.config.ngrams) for one in models]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 2
    assert abs(loss(models[1]) - loss(model)) < 0.01 * loss(model)


def test_a_pruned_model_is_saved_and_reads_the_same_in_kenlm(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    lines = [" ".join(f"w{token}" for token in text) for text in documents(80)]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n")
    model, words = train_word_ngram([tmp_path / "text.txt"], 4)
    pruned = prune_by_entropy(model, 1e-4)
    write_arpa(pruned, tmp_path / "m.arpa", words.words)
    save_ngram(pruned, tmp_path / "folder")
    again = load_ngram(tmp_path / "folder")
    theirs = kenlm.Model(str(tmp_path / "m.arpa"))
    for line in lines[:20]:
        row = torch.tensor([[words.bos_id, *words.encode(line), words.eos_id]])
        for one in (pruned, again):
            ours = one.target_log_probs(Step(ids=row[:, :-1]), row[:, 1:])[0] / math.log(10)
            assert ours.tolist() == pytest.approx([score for score, _, _ in theirs.full_scores(line)], abs=1e-4)


def test_what_cannot_be_pruned_by_entropy():
    with pytest.raises(UserError, match="must be above 0"):
        prune_by_entropy(train(), 0)
    with pytest.raises(UserError, match="needs probabilities, got stupid-back-off"):
        prune_by_entropy(train(smoothing="stupid-back-off"), 1e-6)
