from typing import ClassVar

import pytest
import torch
from torch import nn

from fourfold.training import gradient_noise_scale, noise_scale
from fourfold.training.batches import LabelledBatch


def test_the_estimate_finds_the_noise_that_was_put_in():
    """Gradients drawn around a known mean: |G|^2 = 4, tr(S) = 100 an example, so B_simple = 25."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.zeros(400, dtype=torch.float64)
    mean[0] = 2.0
    size, batches = 8, 400
    draws = mean + torch.randn(batches, 400, generator=generator, dtype=torch.float64) * (100 / 400 / size) ** 0.5
    small = draws.square().sum(1).tolist()
    found = noise_scale(small, float(draws.mean(0).square().sum()), size, size * batches)
    assert found == pytest.approx(25, rel=0.1)


def test_noise_that_outweighs_the_signal_has_no_estimate():
    assert noise_scale([1.0, 1.0], 2.0, 4, 8) is None


class MeanSquares:
    """Loss of rows of numbers against a weight: its gradient is known."""

    weights: ClassVar[dict[str, float]] = {"squares": 1.0}

    def counts(self, batch):
        return {"squares": float(batch.ids.shape[0])}

    def __call__(self, model, batch):
        return {"squares": ((batch.ids.double() - model.weight) ** 2).sum() / 2}


def test_gradients_are_those_of_each_batch_and_are_cleared():
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    rows = [LabelledBatch(torch.tensor([[a], [b]]), torch.zeros(2, 1)) for a, b in ((1, 3), (5, 7), (2, 4))]
    found = gradient_noise_scale(model, MeanSquares(), rows)
    means = [2.0, 6.0, 3.0]  # the gradient of a batch is minus the mean of its rows, which have two tokens
    expected = noise_scale([mean**2 for mean in means], (sum(means) / 3) ** 2, 2, 6)
    assert found == pytest.approx(expected)
    assert model.weight.grad is None
    with pytest.raises(ValueError, match="two batches or more"):
        gradient_noise_scale(model, MeanSquares(), rows[:1])
