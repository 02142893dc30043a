"""Moments in bytes by the compiled kernel, beside the plain step."""

import copy

import pytest
import torch
from torch import nn

from fourfold.kernels import ByteCode, steps_natively
from fourfold.training.optimizers import eight_bit
from fourfold.training.optimizers.eight_bit import AdamW8bit, dynamic_code

here = steps_natively(torch.zeros(1), torch.zeros(1))
needs_kernel = pytest.mark.skipif(not here, reason="the compiled library is not installed")


def trained(count, steps):
    """A weight and its optimizer after some steps along gradients of very different sizes."""
    generator = torch.Generator().manual_seed(count)
    weight = nn.Parameter(torch.randn(count, generator=generator))
    optimizer = AdamW8bit([{"params": [weight]}], lr=1e-2, weight_decay=0.1)
    sizes = torch.logspace(-6, 1, count)
    for _ in range(steps):
        weight.grad = torch.randn(count, generator=generator) * sizes
        optimizer.step()
    return weight, optimizer


@needs_kernel
@pytest.mark.parametrize("steps", [1, 2, 20])
@pytest.mark.parametrize("count", [4096, 4097, 5000, 70_001])
def test_the_next_step_is_that_of_the_plain_optimizer(count, steps, monkeypatch):
    weight, optimizer = trained(count, steps)
    other = nn.Parameter(weight.detach().clone())
    plainly = AdamW8bit([{"params": [other]}], lr=1e-2, weight_decay=0.1)
    plainly.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    other.grad = weight.grad
    optimizer.step()
    monkeypatch.setattr(eight_bit, "steps_natively", lambda weight, gradient: False)
    plainly.step()
    torch.testing.assert_close(weight, other, rtol=1e-6, atol=1e-7)
    state, plain = optimizer.state[weight], plainly.state[other]
    assert state.keys() == plain.keys()
    for name in ("first", "second"):
        torch.testing.assert_close(state[f"{name}_scales"], plain[f"{name}_scales"], rtol=1e-6, atol=0)
        apart = (state[f"{name}_codes"].int() - plain[f"{name}_codes"].int()).abs()
        assert apart.max() <= 1
        assert apart.float().mean() < 1e-3  # a number amid two codes falls to either side by its last bit


def test_a_state_that_is_loaded_goes_on_in_the_same_bits():
    weight, optimizer = trained(5000, 3)
    other = nn.Parameter(weight.detach().clone())
    again = AdamW8bit([{"params": [other]}], lr=1e-2, weight_decay=0.1)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        weight.grad = other.grad = torch.randn(5000)
        optimizer.step()
        again.step()
    assert torch.equal(weight, other)


@needs_kernel
def test_moments_of_another_kind_or_size_are_refused():
    weight, optimizer = trained(5000, 1)
    state = optimizer.state[weight]
    for codes in (state["first_codes"].float(), state["first_codes"][:-1]):
        state["first_codes"] = codes
        with pytest.raises(ValueError, match="5000 numbers"):
            optimizer.step()


@needs_kernel
def test_a_step_is_seen_by_who_keeps_what_was_made_of_a_weight():
    weight, optimizer = trained(5000, 1)
    before = weight._version
    optimizer.step()
    assert weight._version > before


@needs_kernel
def test_threads_change_no_bit():
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            weight, optimizer = trained(70_001, 3)
            state = optimizer.state[weight]
            found.append([weight, state["first_codes"], state["second_codes"], state["first_scales"]])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("signed", [True, False])
def test_no_number_is_two_codes_from_where_its_search_starts(signed):
    code = ByteCode.of(dynamic_code(signed))
    numbers = torch.cat([code.values, code.middles[:-1], torch.rand(50_000), torch.logspace(-9, 0, 50_000)])
    if signed:
        numbers = torch.cat([numbers, -numbers])
    numbers = numbers.clamp(-1, 1)
    starts = code.starts[(numbers.view(torch.int32) >> 16) & 0xFFFF].long()
    found = starts + (code.middles[starts] < numbers)
    assert torch.equal(found, torch.bucketize(numbers, code.middles[:-1]))


def test_other_kinds_of_tensors_are_left_to_the_plain_step():
    weight = torch.zeros(64, 64)
    assert not steps_natively(weight.bfloat16(), weight)
    assert not steps_natively(weight.T[:, 1:], weight[1:].T)
