"""BART's noises, one by one."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.errors import UserError
from fourfold.pretraining.objectives import NOISES, Denoising, infill, permute_sentences, rotate


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(token in rest for token in part)


def test_infilling_takes_the_rate_in_poisson_spans(marks, row):
    mask, sizes, masks = marks["[MASK]"], [], []
    for seed in range(400):
        tokens = np.arange(1000, 1100)
        source = infill(tokens, 0.3, 3.0, mask, np.random.default_rng(seed))
        kept = source[source != mask]
        assert len(tokens) - len(kept) == 30
        assert is_subsequence(kept.tolist(), tokens.tolist())
        places = np.flatnonzero(source == mask)
        padded = np.concatenate([[999], source, [1100]])
        sizes += [int(padded[place + 2] - padded[place] - 1) for place in places]
        masks.append(len(places))
    # Spans average 3 tokens but for the last, which is cut to the rate: e^-3 = 5 % of them hold nothing.
    shares = Counter(sizes)
    assert abs(shares[0] / len(sizes) - 0.0498) < 0.012
    assert abs(shares[3] / len(sizes) - 0.224) < 0.05
    assert 9 < np.mean(masks) < 12


@given(length=st.integers(1, 120), seed=st.integers(0, 10**9), rate=st.floats(0.01, 0.99), mean=st.floats(0.05, 20))
def test_infilling_never_grows_the_text(marks, length, seed, rate, mean):
    tokens = np.arange(1000, 1000 + length)
    source = infill(tokens, rate, mean, marks["[MASK]"], np.random.default_rng(seed))
    assert len(source) <= length
    assert is_subsequence(source[source != marks["[MASK]"]].tolist(), tokens.tolist())


def test_sentences_change_places_whole(tokenizer, text_ids, marks):
    text = tokenizer.decode(text_ids.tolist())
    ends = np.flatnonzero(marks.sentence_ends[text_ids]) + 1
    sentences = [tokenizer.decode(part.tolist()) for part in np.split(text_ids, ends[:-1])]
    assert "".join(sentences) == text
    assert len(sentences) >= 4
    orders = set()
    for seed in range(60):
        shuffled = tokenizer.decode(permute_sentences(text_ids, marks, np.random.default_rng(seed)).tolist())
        assert sorted(shuffled) == sorted(text)
        assert all(sentence in shuffled for sentence in sentences)
        orders.add(shuffled)
    assert len(orders) > 10


def test_rotation_turns_to_every_place():
    tokens = np.arange(7)
    found = {tuple(rotate(tokens, np.random.default_rng(seed)).tolist()) for seed in range(200)}
    assert found == {(*range(k, 7), *range(k)) for k in range(7)}


def test_deletion_and_masking_take_the_rate(row, marks):
    tokens = row(100).tokens
    deleted = Denoising(noises=("token-deletion",)).damaged(tokens, marks, np.random.default_rng(0))
    assert len(deleted) == 70
    assert is_subsequence(deleted.tolist(), tokens.tolist())
    masked = Denoising(noises=("token-masking",)).damaged(tokens, marks, np.random.default_rng(0))
    assert (masked == marks["[MASK]"]).sum() == 30
    assert (masked[masked != marks["[MASK]"]] == tokens[masked != marks["[MASK]"]]).all()


@given(length=st.integers(1, 80), seed=st.integers(0, 10**9), chosen=st.sets(st.sampled_from(NOISES)))
def test_the_target_is_the_whole_text(marks, row, length, seed, chosen):
    objective = Denoising(noises=sorted(chosen))
    tokens = row(length).tokens
    example = objective.example(row(length), marks, "encoder-decoder", np.random.default_rng(seed))
    assert example.labels.tolist() == [*tokens, marks.end]
    assert example.ids.tolist() == [marks.start, *tokens]
    assert len(example.source) <= length + 1
    assert example.source[-1] == marks.end
    if not chosen:
        assert example.source[:-1].tolist() == tokens.tolist()


@pytest.mark.parametrize("form", ["encoder-decoder", "causal", "prefix"])
def test_a_full_row_fits_the_context(row, marks, form):
    objective = Denoising()
    length = objective.text_tokens(64, form)
    for seed in range(50):
        example = objective.example(row(length, seed), marks, form, np.random.default_rng(seed))
        assert len(example.ids) <= 64
        assert example.source is None or len(example.source) <= 64


def test_senseless_options_are_refused():
    with pytest.raises(UserError, match="Did you mean 'text-infilling'"):
        Denoising(noises=("text-infiling",))
    with pytest.raises(UserError, match="rate of noise"):
        Denoising(rate=1.0)
    with pytest.raises(UserError, match="mean span"):
        Denoising(mean_span=0)
