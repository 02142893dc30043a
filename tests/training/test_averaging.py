import pytest
import torch

from fourfold.errors import UserError
from fourfold.training import WeightAverage


def test_the_average_by_hand(tiny):
    model = tiny()
    weight = model.query.weight
    start = weight.detach().clone()
    average = WeightAverage(model, 0.9)
    with torch.no_grad():
        weight += 1
    average.update()  # decay (1 + 0) / (10 + 0)
    torch.testing.assert_close(average.averages["query.weight"], start + 0.9)
    for _ in range(100):
        average.update()
    torch.testing.assert_close(average.averages["query.weight"], start + 1, atol=1e-4, rtol=0)
    with torch.no_grad():
        weight += 1
    average.update()  # by now the decay is 0.9
    torch.testing.assert_close(average.averages["query.weight"], start + 1.1, atol=1e-4, rtol=0)


def test_in_place_and_back(tiny):
    model = tiny()
    average = WeightAverage(model, 0.5)
    own = model.query.weight.detach().clone()
    average.averages["query.weight"].zero_()
    with average.in_place():
        assert not model.query.weight.any()
    assert torch.equal(model.query.weight, own)
    average.apply()
    assert not model.query.weight.any()


def test_frozen_weights_are_not_averaged(tiny):
    model = tiny()
    model.query.requires_grad_(False)
    assert "query.weight" not in WeightAverage(model, 0.5).averages


@pytest.mark.parametrize("decay", [0, 1, -0.1])
def test_a_decay_out_of_range(tiny, decay):
    with pytest.raises(UserError, match="decay of a weight average"):
        WeightAverage(tiny(), decay)
