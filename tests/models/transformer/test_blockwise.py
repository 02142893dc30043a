import pytest
import torch
from torch.nn import functional as F

from fourfold.models import Step, make_module, model_config
from fourfold.models.transformer import attention
from fourfold.models.transformer.blockwise import BLOCK, blockwise_attention


def random_heads(rows, heads, groups, length, size, kind=torch.float32):
    generator = torch.Generator().manual_seed(length)
    shapes = ((rows, heads, length, size), *[(rows, groups, length, size)] * 2)
    return [torch.randn(shape, generator=generator).to(kind).requires_grad_() for shape in shapes]


@pytest.mark.parametrize(
    ("rows", "heads", "groups", "length"), [(2, 3, 3, BLOCK), (1, 4, 2, 2 * BLOCK + 44), (2, 2, 1, 7), (1, 1, 1, 1)]
)
def test_equals_the_kernel_of_torch_with_gradients(rows, heads, groups, length):
    query, key, value = given = random_heads(rows, heads, groups, length, size=16)
    gradient = torch.randn(rows, heads, length, 16, generator=torch.Generator().manual_seed(1))
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    ours = blockwise_attention(query * 16**-0.5, key, value)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(
        torch.autograd.grad(ours, given, gradient), torch.autograd.grad(expected, given, gradient), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_bf16_is_as_near_to_fp32_as_the_kernel_of_torch():
    wide = random_heads(2, 2, 2, 300, size=64)
    narrow = [t.detach().bfloat16().requires_grad_() for t in wide]
    gradient = torch.randn(2, 2, 300, 64, generator=torch.Generator().manual_seed(1))

    def found(given, mixed):
        return [mixed.detach(), *torch.autograd.grad(mixed, given, gradient.to(mixed.dtype))]

    def distance(values):
        pairs = zip(values, reference, strict=True)
        return [float((one.float() - other).norm() / other.norm()) for one, other in pairs]

    reference = found(wide, F.scaled_dot_product_attention(*wide, is_causal=True))
    theirs = distance(found(narrow, F.scaled_dot_product_attention(*narrow, is_causal=True)))
    ours = distance(found(narrow, blockwise_attention(narrow[0] / 8, *narrow[1:])))
    assert max(ours) < 0.01
    assert all(own < 1.5 * other for own, other in zip(ours, theirs, strict=True))


def test_the_operator_keeps_the_rules_of_operators():
    given = random_heads(1, 2, 1, 20, size=8)
    torch.library.opcheck(blockwise_attention, given)


def test_a_model_trains_through_it_in_bf16_only(monkeypatch):
    monkeypatch.setattr(attention, "NATIVE", True)
    calls = []

    def watched(query, key, value):
        calls.append(query.dtype)
        return blockwise_attention(query, key, value)

    monkeypatch.setattr(attention, "blockwise_attention", watched)
    options = {"family": "llama", "layers": 1, "hidden_size": 16, "heads": 2, "kv_heads": 1, "context": 32}
    model = make_module(model_config(options, 11))
    model.initialise(torch.Generator().manual_seed(0))
    step = Step(ids=torch.arange(10)[None])
    whole = model.hidden(step)
    assert calls == []
    with torch.autocast("cpu", torch.bfloat16):
        near = model.hidden(step)
        assert calls == [torch.bfloat16]
        with torch.no_grad():
            model.hidden(step)
    assert calls == [torch.bfloat16]
    torch.testing.assert_close(near.float(), whole, rtol=0.05, atol=0.05)
