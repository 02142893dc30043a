import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fourfold.models import Linear, linear
from fourfold.models.linear import LowRankDelta, multiply, side_by_side


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


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
@pytest.mark.parametrize(("in_size", "out_size"), [(24, 80), (80, 24)])
def test_a_few_vectors_are_multiplied_as_exactly_as_many(rows, in_size, out_size):
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(shape, generator=generator) for shape in ((rows, 1, in_size), (out_size, in_size)))
    bias = torch.randn(out_size, generator=generator)
    with torch.no_grad():
        for added in (None, bias):
            exact = F.linear(x.double(), weight.double(), None if added is None else added.double())
            y = multiply(x, weight, added)
            assert y.is_contiguous()
            torch.testing.assert_close(y.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_weights_that_lie_one_after_another_are_one_product(bias, monkeypatch):
    layers = [Linear(8, size, bias) for size in (6, 2, 4)]
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(12, 8, generator=generator), torch.randn(12, generator=generator)
    x = torch.randn(2, 5, 8, generator=generator)

    def give(parts, biases):
        for layer, part, added in zip(layers, parts, biases, strict=True):
            layer.weight = nn.Parameter(part)
            layer.bias = nn.Parameter(added) if bias else None

    def products():
        calls.clear()
        with torch.no_grad():
            return side_by_side(layers, x), len(calls)

    calls = []
    monkeypatch.setattr(linear, "multiply", lambda *given: calls.append(1) or F.linear(*given))
    give(whole[0].split((6, 2, 4)), whole[1].split((6, 2, 4)))
    together, count = products()
    assert count == 1
    layers[1].deltas.append(LowRankDelta(8, 2, 1, 1.0))  # an adapter's layers compute apart
    apart, count = products()
    assert count == 3
    torch.testing.assert_close(list(together), list(apart))
    layers[1].deltas = nn.ModuleList()
    give([part.clone() for part in whole[0].split((6, 2, 4))], whole[1].split((6, 2, 4)))
    assert products()[1] == 3
    give(whole[0].split((6, 2, 4))[::-1], whole[1].split((4, 2, 6)))  # lie together, in another order
    assert products()[1] == 3
