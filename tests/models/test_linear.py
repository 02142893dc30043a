import pytest
import torch

from fourfold.models import Linear
from fourfold.models.linear import LowRankDelta, side_by_side


def layers(bias):
    generator = torch.Generator().manual_seed(0)
    made = [Linear(6, size, bias) for size in (4, 2, 3)]
    for layer in made:
        for parameter in layer.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def products_of(made, x, counted):
    """The outputs, and how many products made them."""
    with torch.profiler.profile() as profiled, torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        found = side_by_side(made, x)
    kinds = ("aten::mm", "aten::addmm")
    products = sum(event.count for event in profiled.key_averages() if event.key in kinds)
    assert products == counted
    return found


@pytest.mark.parametrize("bias", [False, True])
def test_one_product_equals_three_with_gradients(bias):
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    one, other = layers(bias), layers(bias)
    together = products_of(one, x, 1)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        apart = [layer(x) for layer in other]
    for left, right in zip(together, apart, strict=True):
        torch.testing.assert_close(left, right)
    sum(t.square().sum() for t in together).backward()
    sum(t.square().sum() for t in apart).backward()
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left.weight.grad, right.weight.grad)
        if bias:
            torch.testing.assert_close(left.bias.grad, right.bias.grad)


def test_apart_where_a_layer_is_more_than_its_weight_or_nothing_trains():
    x = torch.randn(5, 6)
    adapted = layers(False)
    adapted[1].deltas.append(LowRankDelta(6, 2, 1, 1.0))
    torch.nn.init.ones_(adapted[1].deltas[0].down)
    torch.nn.init.ones_(adapted[1].deltas[0].up)
    found = side_by_side(adapted, x)
    torch.testing.assert_close(found[1], adapted[1](x))
    frozen = layers(False)
    frozen[0].weight.requires_grad_(False)
    products_of(frozen, x, 3)
    with torch.no_grad():
        products_of(layers(False), x, 3)
    assert [y.dtype for y in side_by_side(layers(False), x)] == [torch.float32] * 3  # no second copy of fp32 weights
