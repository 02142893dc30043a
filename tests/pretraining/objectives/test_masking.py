"""Masked language modelling: rates, whole words, pairs; beside transformers' collator."""

import numpy as np
import pytest
from scipy.stats import binomtest

from fourfold.errors import UserError
from fourfold.pretraining.objectives import MaskedLM, Row, choose_tokens
from fourfold.pretraining.objectives.masking import segment_pair
from fourfold.training import IGNORED


def fits(successes, n, share):
    """Not surprising for a binomial of that share, at one in a hundred thousand."""
    return binomtest(int(successes), int(n), share).pvalue > 1e-5


def examples(objective, row, marks, count=300, length=62):
    return [
        objective.example(row(length, seed), marks, "bidirectional", np.random.default_rng(seed))
        for seed in range(count)
    ]


def test_rates_and_shares(row, marks):
    found = examples(MaskedLM(), row, marks)
    originals = [np.concatenate([[marks["[CLS]"]], row(62, seed).tokens, [marks["[SEP]"]]]) for seed in range(300)]
    masked = kept = replaced = chosen = 0
    for example, original in zip(found, originals, strict=True):
        places = example.labels != IGNORED
        assert places.sum() == round(0.15 * 62)
        assert (example.labels[places] == original[places]).all()
        assert (example.ids[~places] == original[~places]).all()
        assert not places[0]
        assert not places[-1]
        chosen += places.sum()
        masked += (example.ids[places] == marks["[MASK]"]).sum()
        kept += (example.ids[places] == original[places]).sum()
        replaced += ((example.ids[places] != original[places]) & (example.ids[places] != marks["[MASK]"])).sum()
    assert fits(masked, chosen, 0.8)
    assert fits(kept, chosen, 0.1 + 0.1 / len(marks.ordinary))
    assert fits(replaced, chosen, 0.1 - 0.1 / len(marks.ordinary))
    counts = np.bincount(np.concatenate([np.flatnonzero(e.labels != IGNORED) for e in found]), minlength=64)
    assert all(fits(count, 300, 9 / 62) for count in counts[1:-1])


def test_the_shares_are_those_of_transformers_collator(tokenizer, marks, row, tmp_path):
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    tokenizer.save(tmp_path)
    theirs = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), mask_token="[MASK]", pad_token="<|endoftext|>"
    )
    collator = DataCollatorForLanguageModeling(theirs, seed=1)
    rows = [row(62, seed).tokens.tolist() for seed in range(300)]
    batch = collator([{"input_ids": ids} for ids in rows])
    ids, labels = batch["input_ids"].numpy(), batch["labels"].numpy()
    places = labels != IGNORED
    ours = examples(MaskedLM(), row, marks)
    our_ids, our_labels = np.stack([e.ids for e in ours]), np.stack([e.labels for e in ours])
    our_places = our_labels != IGNORED
    for kind in ("masked", "kept"):
        reference = (marks["[MASK]"] if kind == "masked" else labels) == ids
        our_reference = (marks["[MASK]"] if kind == "masked" else our_labels) == our_ids
        share = (reference & places).sum() / places.sum()
        assert abs((our_reference & our_places).sum() / our_places.sum() - share) < 0.04
    assert abs(places.mean() - our_places[:, 1:-1].mean()) < 0.01


def test_whole_words_are_those_of_transformers_on_plain_words(tokenizer, marks, tmp_path):
    """Where words are parted by spaces, its collator and we cut alike: no word is half masked."""
    from transformers import DataCollatorForLanguageModeling

    text = "Thank you for inviting me to your pleasure garden last week"
    encoding = tokenizer.core_copy().encode(text)
    ids, offsets = np.array(encoding.ids), np.array([encoding.offsets])
    offsets[:, 1:, 0] += 1  # byte-level tokens count the space before a word as theirs
    keeps = np.array([not text[start - 1 : start].isspace() for start, _ in offsets[0]])
    offsets[0, keeps, 0] -= 1
    offsets[0, 0, 0] = 0
    words, _ = DataCollatorForLanguageModeling._calc_word_ids_and_prob_mask(offsets, np.zeros((1, len(ids)), int))
    ours = np.cumsum(marks.word_starts(ids))
    assert ours.tolist() == words[0].tolist()
    assert ours[-1] == len(text.split())
    for seed in range(50):
        places = choose_tokens(ids, 0.3, marks, True, np.random.default_rng(seed))
        for word in np.unique(ours[places]):
            assert set(np.flatnonzero(ours == word)) <= set(places.tolist())


def test_word_starts_of_code_punctuation_and_han(tokenizer, marks):
    for text, words in [
        ("the (small) garden", ["the", " (", "small", ")", " garden"]),
        ("compute_total(x)", ["compute_total", "(", "x", ")"]),
        ("我们去北京", ["我", "们", "去", "北", "京"]),
        ("naïve café", ["naïve", " café"]),
    ]:
        ids = np.array(tokenizer.encode_ordinary(text))
        starts = np.flatnonzero(marks.word_starts(ids)).tolist()
        pieces = [tokenizer.decode(part.tolist()) for part in np.split(ids, starts[1:])]
        assert pieces == words


def test_whole_words_keep_to_the_rate(text_ids, marks):
    rates = [
        len(choose_tokens(text_ids, 0.15, marks, True, np.random.default_rng(seed))) / len(text_ids)
        for seed in range(200)
    ]
    assert max(rates) <= 0.15 + 1 / len(text_ids) or min(rates) > 0
    assert 0.1 < np.mean(rates) <= 0.16


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_rows_have_something_to_predict(row, marks, length):
    for whole in (False, True):
        example = MaskedLM(whole_words=whole).example(row(length), marks, "bidirectional", np.random.default_rng(0))
        assert (example.labels != IGNORED).sum() == 1


def test_next_sentence_pairs(row, marks):
    found = examples(MaskedLM(pairs="next-sentence"), row, marks, 400, 61)
    assert fits(sum(e.target for e in found), 400, 0.5)
    for seed, example in enumerate(found):
        assert len(example.ids) == 64
        separators = np.flatnonzero(example.ids == marks["[SEP]"])
        assert len(separators) == 2
        assert separators[1] == 63
        assert example.ids[0] == marks["[CLS]"]
        assert (example.segments == (np.arange(64) > separators[0])).all()
        original = np.where(example.labels == IGNORED, example.ids, example.labels)
        first, second = original[1 : separators[0]], original[separators[0] + 1 : 63]
        text = row(61, seed).tokens
        assert (first == text[: len(first)]).all()
        continues = bool((second == text[len(first) :]).all())
        assert continues == (example.target == 0)
        if example.target:
            assert (second == marks.ordinary[7]).all()


def test_sentence_order_pairs(text_ids, marks):
    ends = np.flatnonzero(marks.sentence_ends[text_ids]) + 1
    seen = set()
    for seed in range(100):
        row = Row(tokens=text_ids, elsewhere=lambda random: text_ids)
        pair = segment_pair(row, "sentence-order", marks, np.random.default_rng(seed))
        first, second = (pair.second, pair.first) if pair.target else (pair.first, pair.second)
        assert np.concatenate([first, second]).tolist() == text_ids.tolist()
        assert len(first) in ends
        seen.add((pair.target, len(first)))
    assert len(seen) >= 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": 0.0}, "rate of predicted"),
        ({"mask_share": 0.8, "random_share": 0.3}, "sum up to 1"),
        ({"pairs": "next"}, "next-sentence or sentence-order"),
    ],
)
def test_senseless_options_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        MaskedLM(**options)
