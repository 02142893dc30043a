"""Span corruption, UL2 and infilling: the original comes back, the rates hold, wild lengths fit."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from fourfold.pretraining.objectives import (
    DENOISERS,
    Causal,
    Infilling,
    MixtureOfDenoisers,
    PrefixLM,
    Row,
    Span,
    SpanCorruption,
    corrupt,
    divide,
    place_spans,
    rearrange,
)
from fourfold.pretraining.objectives.infilling import MIDDLE, PREFIX, SUFFIX
from fourfold.training import IGNORED


def restore(source, target, sentinels):
    """Put the spans of a target back where their sentinels stand."""
    spans, name = {}, None
    for token in target:
        if token in sentinels:
            name, spans[token] = token, []
        else:
            spans[name].append(token)
    return [token for item in source for token in (spans[item] if item in sentinels else [item])]


def test_the_figure_of_the_paper():
    """Figure 2 of Raffel et al. 2020, word by word; 100 and on are <X>, <Y>, <Z>."""
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week", "."]
    tokens, sentinels = np.arange(len(words)), np.array([100, 101, 102])
    source, target = corrupt(tokens, [Span(2, 4), Span(8, 9)], sentinels)
    names = dict(enumerate(words)) | {100: "<X>", 101: "<Y>", 102: "<Z>"}
    assert " ".join(names[token] for token in source.tolist()) == "Thank you <X> me to your party <Y> week ."
    assert " ".join(names[token] for token in target.tolist()) == "<X> for inviting <Y> last <Z>"


@given(length=st.integers(1, 400), seed=st.integers(0, 10**9), rate=st.floats(0.01, 0.99), mean=st.floats(1, 80))
def test_corruption_can_be_undone_and_never_outgrows_its_plan(marks, row, length, seed, rate, mean):
    objective = SpanCorruption(rate=rate, mean_span=mean)
    tokens = row(length, seed % 97).tokens
    source, target = objective.pair(tokens, marks, np.random.default_rng(seed))
    assert restore(source.tolist(), target.tolist(), set(marks.sentinels.tolist())) == tokens.tolist()
    assert (len(source) + 1, len(target) + 1) == objective.sizes(length)
    assert not set(source[-1:]) & set(source[:-1]) or source[-1] not in marks.sentinels


@pytest.mark.parametrize("form", ["encoder-decoder", "prefix", "causal"])
@pytest.mark.parametrize("rate", [0.15, 0.5])
@pytest.mark.parametrize("context", [16, 63, 512])
def test_a_full_row_fills_the_context_and_no_more(marks, row, form, rate, context):
    objective = SpanCorruption(rate=rate)
    length = objective.text_tokens(context, form)
    for size in (length, length // 2, 4):
        example = objective.example(row(size), marks, form, np.random.default_rng(size))
        sides = [len(example.ids)] + ([len(example.source)] if example.source is not None else [])
        assert max(sides) <= context
        if size == length:
            assert max(sides) >= context - 2


def test_the_paper_reads_568_tokens_into_512():
    """T5's 512 inputs hold 568 tokens of text; ours have room for one token less, since the last is counted so."""
    assert SpanCorruption().text_tokens(512, "encoder-decoder") in (567, 568, 569)


def test_spans_are_everywhere_alike():
    """All ten placements of sizes (2, 1) in seven tokens, each as often."""
    random = np.random.default_rng(0)
    found = Counter(tuple(place_spans(7, [2, 1], random)) for _ in range(5000))
    expected = [(a, b) for a, b in itertools.product(range(6), range(7)) if b >= a + 3]
    assert {(spans[0].start, spans[1].start) for spans in found} == set(expected)
    assert all(spans[0].end - spans[0].start == 2 for spans in found)
    assert chisquare(list(found.values())).pvalue > 1e-5
    sizes = Counter(tuple(divide(6, 3, random)) for _ in range(5000))
    assert len(sizes) == 10
    assert chisquare(list(sizes.values())).pvalue > 1e-5
    assert place_spans(3, [2, 2], random)[0].end <= 3
    assert place_spans(3, [], random) == []


def test_the_rates_of_t5(marks, row):
    gone, spans = [], []
    for seed in range(200):
        source, _ = SpanCorruption().pair(row(114, seed).tokens, marks, np.random.default_rng(seed))
        sentinels = np.isin(source, marks.sentinels).sum()
        gone.append(114 - (len(source) - sentinels))
        spans.append(sentinels)
    assert set(gone) == {17}
    assert set(spans) == {6}


@pytest.mark.parametrize("form", ["encoder-decoder", "prefix", "causal"])
def test_a_pair_is_laid_out_by_the_form_of_the_model(marks, row, form):
    example = SpanCorruption().example(row(40), marks, form, np.random.default_rng(1))
    source, target = SpanCorruption().pair(row(40).tokens, marks, np.random.default_rng(1))
    target = [*target, marks.end]
    if form == "encoder-decoder":
        assert example.source.tolist() == [*source, marks.end]
        assert example.ids.tolist() == [marks.start, *target[:-1]]
        assert example.labels.tolist() == target
        return
    assert example.ids.tolist() == [*source, marks.end, *target[:-1]]
    assert example.labels.tolist() == [IGNORED] * len(source) + target
    assert example.prefix == (len(source) + 1 if form == "prefix" else 0)


@given(length=st.integers(1, 300), seed=st.integers(0, 10**9))
def test_prefix_examples(marks, row, length, seed):
    tokens = row(length, seed % 89).tokens
    example = PrefixLM().example(row(length, seed % 89), marks, "prefix", np.random.default_rng(seed))
    assert example.ids.tolist() == [marks.start, *tokens]
    wanted = example.labels != IGNORED
    assert 1 <= example.prefix <= length + 1
    assert wanted.sum() == length + 2 - example.prefix
    assert example.labels[wanted].tolist() == [*tokens, marks.end][example.prefix - 1 :]


def test_prefixes_take_every_length_alike(marks, row):
    found = [PrefixLM().example(row(9), marks, "prefix", np.random.default_rng(seed)).prefix for seed in range(3000)]
    assert chisquare(np.bincount(found)[1:]).pvalue > 1e-5
    assert max(found) == 10


def test_causal_examples_end_the_text(marks, row):
    example = Causal().example(row(5), marks, "causal", np.random.default_rng(0))
    tokens = row(5).tokens.tolist()
    assert example.ids.tolist() == [marks.start, *tokens]
    assert example.labels.tolist() == [*tokens, marks.end]


def test_the_mixture_has_seven_denoisers_in_equal_parts(marks, row):
    assert [(one.rate, one.mean_span) for mode in ("[R]", "[X]") for one in DENOISERS[mode]] == [
        (0.15, 3), (0.15, 8), (0.5, 3), (0.5, 8), (0.15, 64), (0.5, 64),
    ]  # fmt: skip
    objective = MixtureOfDenoisers()
    modes = Counter()
    for seed in range(1400):
        example = objective.example(row(120, seed % 7), marks, "encoder-decoder", np.random.default_rng(seed))
        mode = int(example.source[0])
        modes[mode] += 1
        target = example.labels[:-1].tolist()
        if mode == marks["[S]"]:
            first = int(marks.sentinels[0])
            assert (example.source[-2], target[0]) == (first, first)
            text = [*example.source[1:-2], *target[1:]]
            assert len(target) - 1 <= 60
        else:
            text = restore(example.source[1:-1].tolist(), target, set(marks.sentinels.tolist()))
        assert text == row(120, seed % 7).tokens.tolist()
    shares = {"[R]": 2 / 7, "[S]": 1 / 7, "[X]": 4 / 7}
    assert all(binomtest(modes[marks[name]], 1400, share).pvalue > 1e-5 for name, share in shares.items())


@given(length=st.integers(1, 200), seed=st.integers(0, 10**9), context=st.integers(8, 100))
def test_the_mixture_fits_any_context(marks, row, length, seed, context):
    for form in ("encoder-decoder", "causal"):
        most = MixtureOfDenoisers().text_tokens(context, form)
        example = MixtureOfDenoisers().example(row(min(length, most)), marks, form, np.random.default_rng(seed))
        assert len(example.ids) <= context
        assert example.source is None or len(example.source) <= context


@given(data=st.data(), length=st.integers(0, 60))
def test_infilling_can_be_undone(marks, data, length):
    tokens = marks.ordinary[:length]
    low = data.draw(st.integers(0, length))
    high = data.draw(st.integers(low, length))
    before, after, here = (marks[name] for name in (PREFIX, SUFFIX, MIDDLE))
    psm = rearrange(tokens, (low, high), "psm", marks).tolist()
    assert psm[0] == before
    at, to = psm.index(after), psm.index(here)
    first, last, middle = psm[1:at], psm[at + 1 : to], psm[to + 1 :]
    assert (first, middle, last) == tuple(part.tolist() for part in np.split(tokens, [low, high]))
    spm = rearrange(tokens, (low, high), "spm", marks).tolist()
    assert spm == [before, after, *last, here, *first, *middle]


def test_infilling_rates_and_uniform_cuts(marks, row):
    objective = Infilling(rate=0.5, spm_share=0.25)
    found = [objective.example(row(30), marks, "causal", np.random.default_rng(seed)) for seed in range(2000)]
    moved = [example for example in found if example.ids[1] == marks[PREFIX]]
    spm = [example for example in moved if example.ids[2] == marks[SUFFIX] and len(example.ids) > 2]
    assert binomtest(len(moved), 2000, 0.5).pvalue > 1e-5
    empty_first = len(moved) * 0.75 * (1 - (30 / 31) ** 2)  # PSM with nothing before the middle looks the same
    assert abs(len(spm) - 0.25 * len(moved) - empty_first) < 70
    for example in found:
        assert sorted(set(example.ids.tolist()) - {marks.start, marks[PREFIX], marks[SUFFIX], marks[MIDDLE]}) == sorted(
            set(row(30).tokens.tolist())
        )
        assert example.labels[:-1].tolist() == example.ids[1:].tolist()
        assert example.labels[-1] == marks.end
    assert Infilling(rate=0.0).example(row(30), marks, "causal", np.random.default_rng(0)).ids[1:].tolist() == (
        row(30).tokens.tolist()
    )


def test_an_example_is_a_function_of_its_row_and_generator(marks, row):
    for objective in (SpanCorruption(), MixtureOfDenoisers(), PrefixLM(), Infilling()):
        form = objective.forms[0]
        first, again, other = (
            objective.example(Row(tokens=row(50).tokens, elsewhere=None), marks, form, np.random.default_rng(seed))
            for seed in (3, 3, 4)
        )
        assert first.ids.tolist() == again.ids.tolist()
        assert first.ids.tolist() != other.ids.tolist() or first.prefix != other.prefix
