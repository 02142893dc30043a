"""The compiled attention against the plain formula and fp32."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from fourfold.kernels import attends_natively, causal_attention, causal_attention_backward
from fourfold.models.transformer import blockwise

ONE = torch.empty(1, 1, 1, 32, dtype=torch.bfloat16)
here = attends_natively(ONE, ONE)
needs_kernel = pytest.mark.skipif(not here, reason="this processor or installation has no such kernel")
SHAPES = [(2, 3, 3, 64, 64), (1, 4, 2, 77, 32), (2, 2, 1, 7, 64), (1, 1, 1, 1, 32), (1, 2, 2, 130, 128)]


def heads(rows, count, length, size, seed):
    """As a projection leaves them: a view whose tokens are a step apart."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, length, count, size, generator=generator).bfloat16().transpose(1, 2)


def relative(one, other):
    return float((one.float() - other.float()).norm() / other.float().norm().clamp(min=1e-6))


@needs_kernel
@pytest.mark.parametrize(("rows", "queries", "groups", "length", "size"), SHAPES)
def test_equals_fp32_as_nearly_as_the_plain_formula(rows, queries, groups, length, size, monkeypatch):
    query, given = (heads(rows, queries, length, size, seed) for seed in (0, 3))
    key, value = (heads(rows, groups, length, size, seed) for seed in (1, 2))
    query = query * size**-0.5
    wide = [tensor.float().requires_grad_() for tensor in (query, key, value)]
    mixed = F.scaled_dot_product_attention(*wide, is_causal=True, scale=1.0, enable_gqa=True)
    reference = [mixed.detach(), *torch.autograd.grad(mixed, wide, given.float())]
    ours = attended(query, key, value, given)
    monkeypatch.setattr(blockwise, "attends_natively", lambda query, key: False)
    plain = attended(query, key, value, given)
    for one, other, exact in zip(ours, plain, reference, strict=True):
        if length > 1 or one is ours[0] or one is ours[3]:  # one token's weight is 1: its scores have no gradient
            assert relative(one, exact) < 0.008
            assert relative(one, exact) < 1.2 * relative(other, exact) + 0.001


def attended(query, key, value, given):
    mixed = blockwise.blockwise_attention(query, key, value, None, True)
    return [mixed, *blockwise.blockwise_attention_backward(given, query, key, value, None, True)]


@needs_kernel
def test_threads_change_no_bit():
    query, key, value, given = (heads(2, 3, 70, 32, seed) for seed in range(4))
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(attended(query, key, value, given))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@needs_kernel
def test_the_future_is_not_seen_and_the_past_gets_no_more_than_its_share():
    query, key, value = (heads(1, 1, 40, 32, seed) for seed in range(3))
    mixed, again = torch.empty_like(query), torch.empty_like(query)
    causal_attention(query, key, value, mixed)
    changed = value.clone()
    changed[:, :, 20:] += 100
    causal_attention(query, key, changed, again)
    assert torch.equal(mixed[:, :, :20], again[:, :, :20])
    assert not torch.equal(mixed[:, :, 20:], again[:, :, 20:])
    given, found = torch.zeros_like(query), [torch.empty_like(query) for _ in range(3)]
    given[:, :, 19] = 1
    causal_attention_backward(given, query, key, value, *found)
    assert all(not bool(gradient[:, :, 20:].any()) for gradient in found)


def test_heads_of_other_sizes_and_kinds_and_with_a_past_go_the_plain_way():
    assert not attends_natively(*[torch.empty(1, 1, 1, 24, dtype=torch.bfloat16)] * 2)
    assert not attends_natively(*[torch.empty(1, 1, 1, 32)] * 2)
    assert not attends_natively(ONE, torch.empty(1, 1, 2, 32, dtype=torch.bfloat16))


@needs_kernel
@pytest.mark.skipif(sys.platform != "linux", reason="torch's threads are borrowed on Linux only")
def test_runs_on_the_threads_of_torch():
    """Two sets of threads would take the processor from each other, since waiting ones spin."""
    script = (
        "import os, torch; from fourfold.kernels import causal_attention as attend\n"
        "torch.set_num_threads(2); torch.randn(512, 512) @ torch.randn(512, 512)\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "heads = [torch.randn(2, 4, 64, 32).bfloat16() for _ in range(4)]; attend(*heads)\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["0"]
