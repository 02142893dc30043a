"""The compiled product of one or two vectors in bf16 against torch's and fp64."""

import pytest
import torch
from torch.nn import functional as F

from fourfold.kernels import few_natively, multiply_few
from fourfold.models.linear import multiply

ONE = torch.empty(1, 32, dtype=torch.bfloat16)
needs_kernel = pytest.mark.skipif(not few_natively(ONE, ONE), reason="no such kernel in this processor or installation")


def made(count, rows, columns):
    generator = torch.Generator().manual_seed(rows)
    shapes = ((count, columns), (rows, columns), (rows,))
    return [torch.randn(*shape, generator=generator).bfloat16() for shape in shapes]


@needs_kernel
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (1, 1), (7, 33), (130, 31), (513, 96), (70, 1000), (400, 512)])
def test_is_nearer_to_the_truth_than_a_rounding(count, rows, columns):
    x, weight, bias = made(count, rows, columns)
    truth = F.linear(x.double(), weight.double(), bias.double())
    found = multiply_few(x, weight, bias)
    sizes = F.linear(x.double().abs(), weight.double().abs())  # what sums in fp32 may lose
    assert found.shape == truth.shape
    assert bool(((found.double() - truth).abs() <= truth.abs() / 256 + sizes * columns * 2.0**-24 + 1e-30).all())
    assert torch.equal(multiply_few(x, weight, torch.zeros_like(bias)), multiply_few(x, weight))


@needs_kernel
def test_shapes_views_and_threads():
    x, weight, _ = made(2, 700, 256)
    expected = multiply_few(x, weight)
    assert torch.equal(multiply_few(x.view(2, 1, 256), weight), expected.view(2, 1, 700))
    apart = torch.stack((x, x), 1)[:, 0]
    assert not apart.is_contiguous()
    assert torch.equal(multiply_few(apart, weight), expected)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(multiply_few(x, weight), expected)
    finally:
        torch.set_num_threads(before)


@needs_kernel
def test_what_is_not_a_number_stays_so():
    x, weight, _ = made(1, 40, 64)
    x[0, 5] = float("nan")
    assert bool(multiply_few(x, weight).isnan().all())
    x[0, 5] = float("inf")
    assert bool((multiply_few(x, weight).abs() == float("inf")).all())


@needs_kernel
def test_takes_only_what_it_is_made_for():
    x, weight, _ = made(2, 40, 64)
    assert few_natively(x, weight)
    assert not few_natively(torch.cat((x, x)), weight)
    assert not few_natively(x.float(), weight.float())
    assert not few_natively(x, weight.t().contiguous().t())
    assert not few_natively(x[:0], weight)
    weight = torch.nn.Parameter(weight)
    assert multiply(x, weight).requires_grad, "where gradients are wanted, torch's product is taken"
