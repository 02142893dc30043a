"""Each transform by hand-worked distributions, and the sampler by its frequencies."""

from __future__ import annotations

import pytest
import torch

from fourfold.errors import UserError
from fourfold.inference import Sampler, Sampling
from fourfold.inference.sampling import keep_min_p, keep_top_k, keep_top_p, scale_temperature

LOGITS = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()


def kept(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits).nonzero().flatten().tolist()


@pytest.mark.parametrize(("k", "expected"), [(1, [0]), (2, [0, 1]), (9, [0, 1, 2, 3])])
def test_top_k(k, expected):
    assert kept(keep_top_k(LOGITS, k)) == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(0.0, [0]), (0.5, [0]), (0.6, [0, 1]), (0.8, [0, 1, 2]), (1.0, [0, 1, 2, 3])]
)
def test_top_p(p, expected):
    assert kept(keep_top_p(LOGITS, p)) == expected


@pytest.mark.parametrize(("p", "expected"), [(0.0, [0, 1, 2, 3]), (0.25, [0, 1, 2]), (0.45, [0, 1]), (0.9, [0])])
def test_min_p(p, expected):
    assert kept(keep_min_p(LOGITS, p)) == expected


def test_temperature_sharpens():
    probabilities = scale_temperature(LOGITS, 0.5).softmax(-1)
    expected = torch.tensor([0.25, 0.0625, 0.0225, 0.01])
    torch.testing.assert_close(probabilities, expected / expected.sum())


def test_sampler_draws_from_the_distribution():
    sampler = Sampler(Sampling(temperature=1.0, seed=0))
    draws = torch.tensor([sampler.choose(LOGITS) for _ in range(4000)])
    frequencies = torch.bincount(draws, minlength=4) / len(draws)
    assert (frequencies - LOGITS.exp()).abs().max() < 0.03


@pytest.mark.parametrize("option", [{"top_p": 1.5}, {"temperature": -1}, {"max_tokens": 0}, {"top_k": 0}])
def test_values_out_of_range_are_refused(option):
    with pytest.raises(UserError, match="out of range"):
        Sampling(**option)
