"""Transforms by hand-worked distributions and by transformers; the sampler by its frequencies and its exact sets."""

from __future__ import annotations

import math

import pytest
import torch

from fourfold.errors import UserError
from fourfold.inference import Sampler, Sampling, choose_many, top_alternatives
from fourfold.inference.sampling import (
    History,
    highest,
    keep_min_p,
    keep_top_p,
    keep_typical,
    largest,
    scale_temperature,
)

LOGITS = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()
WIDE = 3001


def kept(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits).nonzero().flatten().tolist()


@pytest.mark.parametrize(("k", "expected"), [(1, [0]), (2, [0, 1]), (9, [0, 1, 2, 3])])
def test_top_k(k, expected):
    assert kept(Sampler(Sampling(top_k=k)).distribution(LOGITS).log()) == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(0.0, [0]), (0.5, [0]), (0.6, [0, 1]), (0.8, [0, 1, 2]), (1.0, [0, 1, 2, 3])]
)
def test_top_p(p, expected):
    assert kept(keep_top_p(LOGITS, p)) == expected


@pytest.mark.parametrize(("p", "expected"), [(0.0, [0, 1, 2, 3]), (0.25, [0, 1, 2]), (0.45, [0, 1]), (0.9, [0])])
def test_min_p(p, expected):
    assert kept(keep_min_p(LOGITS, p)) == expected


# Entropy 1.2080 nats; -ln p is 0.693, 1.386, 1.897, 2.303: the second is nearest, then the first, third, fourth.
@pytest.mark.parametrize(("p", "expected"), [(0.2, [1]), (0.26, [0, 1]), (0.76, [0, 1, 2]), (0.95, [0, 1, 2, 3])])
def test_typical(p, expected):
    assert kept(keep_typical(LOGITS, p)) == expected


def test_temperature_sharpens():
    probabilities = scale_temperature(LOGITS, 0.5).softmax(-1)
    expected = torch.tensor([0.25, 0.0625, 0.0225, 0.01])
    torch.testing.assert_close(probabilities, expected / expected.sum())


OPTIONS = [
    {"top_k": 7},
    {"top_k": 200, "temperature": 0.7},
    {"top_p": 0.3},
    {"top_p": 0.97},
    {"top_p": 0.6, "top_k": 40},
    {"min_p": 0.02},
    {"min_p": 0.0001, "temperature": 1.5},
    {"typical_p": 0.4},
    {"typical_p": 0.9, "top_k": 60},
    {"temperature": 1.3, "top_k": 100, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.8},
    {"top_p": 0.9, "typical_p": 0.5},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8, "top_k": 30},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_what_may_be_drawn_is_what_transformers_keeps(options, spread):
    warpers = pytest.importorskip("transformers.generation.logits_process")
    logits = torch.randn(1, WIDE, generator=torch.Generator().manual_seed(0)) * spread
    prompt = list(range(0, WIDE, 5))
    expected = logits.clone()
    made = [  # in the order in which transformers applies them
        ("repetition_penalty", warpers.RepetitionPenaltyLogitsProcessor),
        ("temperature", warpers.TemperatureLogitsWarper),
        ("top_k", warpers.TopKLogitsWarper),
        ("top_p", warpers.TopPLogitsWarper),
        ("min_p", warpers.MinPLogitsWarper),
        ("typical_p", warpers.TypicalLogitsWarper),
    ]
    for name, warper in made:
        if name in options:
            expected = warper(options[name])(torch.tensor([prompt]), expected)
    found = Sampler(Sampling(**options), prompt).distribution(logits[0])
    assert (found > 0).nonzero().flatten().tolist() == kept(expected[0])
    torch.testing.assert_close(found, expected[0].softmax(-1), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("size", [5, 128, 3001, 20000])
def test_largest_and_highest_are_those_of_a_full_sort(size):
    logits = torch.randn(4, size, generator=torch.Generator().manual_seed(size))
    ordered = logits.sort(-1, descending=True)
    assert highest(logits).tolist() == ordered.indices[:, 0].tolist()
    for k in (1, 3, 64, 65, size + 1):
        values, ids = largest(logits, k)
        assert torch.equal(values, ordered.values[:, :k])
        assert torch.equal(logits.gather(1, ids), values)


def test_equal_logits_are_chosen_by_the_lowest_id():
    assert highest(torch.zeros(1, 1000)).tolist() == [0]
    assert Sampler(Sampling(temperature=0)).choose(torch.tensor([1.0, 3.0, 3.0])) == 1


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.99999}, {"typical_p": 1.0}])
def test_sampler_draws_from_the_distribution(options):
    sampler = Sampler(Sampling(temperature=1.0, seed=0, **options))
    draws = torch.tensor([sampler.choose(LOGITS) for _ in range(4000)])
    frequencies = torch.bincount(draws, minlength=4) / len(draws)
    assert (frequencies - LOGITS.exp()).abs().max() < 0.03


def test_a_draw_from_a_wide_vocabulary_follows_its_probabilities():
    logits = torch.full((1, 1000), -3.0)
    logits[0, [7, 500, 999]] = 4.0  # each e^7 times as probable as one of the rest, 0.256 of all
    sampler = Sampler(Sampling(temperature=1.0, seed=1))
    draws = [sampler.choose(logits[0]) for _ in range(3000)]
    for id in (7, 500, 999):
        assert draws.count(id) / 3000 == pytest.approx(math.exp(7) / (3 * math.exp(7) + 997), abs=0.03)


def test_a_choice_is_the_same_alone_and_in_a_batch():
    logits = torch.randn(len(OPTIONS) + 2, WIDE, generator=torch.Generator().manual_seed(3)) * 2
    options = [*OPTIONS, {}, {"temperature": 0}]

    def samplers() -> list[Sampler]:
        return [Sampler(Sampling(seed=i, **o), [1, 2, 3]) for i, o in enumerate(options)]

    alone = [[s.choose(logits[i]) for _ in range(20)] for i, s in enumerate(samplers())]
    together = samplers()
    steps = [choose_many([(s, []) for s in together], logits) for _ in range(20)]
    assert alone == [list(row) for row in zip(*steps, strict=True)]


def test_penalties_as_openai_writes_them():
    """mu[j] - c[j] * frequency - (c[j] > 0) * presence."""
    logits = torch.tensor([1.0, 2.0, 3.0, 4.0])
    history = History(Sampling(presence_penalty=0.5, frequency_penalty=0.25, logit_bias={0: 10, 3: -100}), [0, 0, 1])
    history.apply(logits, [2, 2, 1, 2])
    assert logits.tolist() == [11.0, 2 - 0.25 - 0.5, 3 - 0.75 - 0.5, -96.0]


def test_a_history_that_grows_or_goes_back_equals_a_fresh_one():
    sampling = Sampling(repetition_penalty=1.2, presence_penalty=0.3, frequency_penalty=0.1)
    ids = torch.randint(0, 500, (300,), generator=torch.Generator().manual_seed(0)).tolist()
    grown = History(sampling, [1, 2, 3])
    for size in (0, 1, 2, 150, 300, 40, 41):
        logits = torch.linspace(-2, 2, 500)
        other = logits.clone()
        grown.apply(logits, ids[:size])
        History(sampling, [1, 2, 3]).apply(other, ids[:size])
        assert torch.equal(logits, other)


def test_the_given_logits_are_left_as_they_were():
    logits = torch.randn(2, 100)
    before = logits.clone()
    choose_many([(Sampler(Sampling(logit_bias={4: 50})), []), (Sampler(Sampling(temperature=0)), [])], logits)
    assert torch.equal(logits, before)


def test_a_row_that_cannot_be_chosen_for_fails_alone():
    logits = torch.randn(4, 100)
    logits[1, 50] = float("nan")
    logits[2, 3] = float("inf")
    rows = [(Sampler(Sampling(temperature=0)), []) for _ in range(3)] + [(Sampler(Sampling(logit_bias={100: 1})), [])]
    good, nan, infinite, biased = choose_many(rows, logits)
    assert good == int(logits[0].argmax())
    assert "not finite" in str(nan)
    assert "not finite" in str(infinite)
    assert "does not have" in str(biased)
    with pytest.raises(UserError, match="not finite"):
        Sampler(Sampling(seed=0)).choose(logits[1])


def test_alternatives_are_the_most_probable_of_the_unchanged_distribution():
    found = top_alternatives(LOGITS, 2)
    assert [id for id, _ in found] == [0, 1]
    assert [log_prob for _, log_prob in found] == pytest.approx([math.log(0.5), math.log(0.25)])


@pytest.mark.parametrize(
    "option",
    [
        {"top_p": 1.5}, {"temperature": -1}, {"temperature": math.nan}, {"max_tokens": 0}, {"top_k": 0},
        {"typical_p": -0.1}, {"repetition_penalty": 0}, {"presence_penalty": 3}, {"frequency_penalty": -3},
        {"logit_bias": {-1: 0}}, {"logit_bias": {1: 101}}, {"n": 0}, {"top_alternatives": 1000},
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(option):
    with pytest.raises(UserError, match="out of range"):
        Sampling(**option)
