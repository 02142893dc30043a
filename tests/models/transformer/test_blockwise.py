from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from fourfold.models import Step, make_module, model_config
from fourfold.models.transformer import ALiBi, attention
from fourfold.models.transformer.blockwise import BLOCK, blockwise_attention, mix_by_blocks


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
    ours = blockwise_attention(query * 16**-0.5, key, value, None, True)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(
        torch.autograd.grad(ours, given, gradient), torch.autograd.grad(expected, given, gradient), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("of", "length"), [("numbers", BLOCK + 9), ("choice", 5), ("padding", BLOCK + 9), (None, 20)])
def test_with_a_mask_it_equals_the_kernel_too(of, length):
    query, key, value = given = random_heads(2, 4, 2, length, size=16)
    generator = torch.Generator().manual_seed(2)
    numbers = torch.randn(1, 4, length, length, generator=generator)
    choice = torch.rand(2, 1, length, length, generator=generator) < 0.8
    mask = {"numbers": numbers, "choice": choice, "padding": choice[:, :, :1], None: None}[of]
    gradient = torch.randn(2, 4, length, 16, generator=generator)
    expected = F.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
    ours = blockwise_attention(query / 4, key, value, mask, False)
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
    ours = distance(found(narrow, blockwise_attention(narrow[0] / 8, *narrow[1:], None, True)))
    assert max(ours) < 0.01
    assert all(own < 1.5 * other for own, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("length", "past"), [(5, 3), (BLOCK + 30, 70), (2, BLOCK)])
def test_after_a_past_each_query_sees_one_key_more(length, past):
    query, key, value = (t.detach() for t in random_heads(2, 4, 2, past + length, size=16))
    allowed = torch.ones(length, past + length, dtype=torch.bool).tril(past)
    expected = F.scaled_dot_product_attention(query[:, :, past:], key, value, allowed, enable_gqa=True)
    torch.testing.assert_close(
        mix_by_blocks(query[:, :, past:] / 4, key, value, None, True), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("alike", [True, False])
def test_sees_what_a_mask_allows(alike):
    query, key, value = (t.detach() for t in random_heads(3, 4, 2, BLOCK + 30, size=16))
    starts = torch.tensor([0] if alike else [0, 7, 40])  # pasts of their own lengths
    places = torch.arange(BLOCK + 30)
    allowed = (places <= places[:20, None] + starts[:, None, None])[:, None]
    expected = F.scaled_dot_product_attention(query[:, :, :20], key, value, allowed, enable_gqa=True)
    ours = mix_by_blocks(query[:, :, :20] / 4, key, value, allowed, False)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_the_operator_keeps_the_rules_of_operators():
    given = random_heads(1, 2, 1, 20, size=8)
    torch.library.opcheck(blockwise_attention, (*given, None, True))


def test_a_model_reads_through_it_in_bf16_after_pasts_of_their_own_lengths(monkeypatch):
    options = {"family": "llama", "layers": 2, "hidden_size": 32, "heads": 2, "kv_heads": 1, "context": 64}
    model = make_module(model_config(options, 11)).eval()
    model.initialise(torch.Generator().manual_seed(0))
    calls = []

    def watched(query, key, value, allowed, causal):
        calls.append(causal)
        return mix_by_blocks(query, key, value, allowed, causal)

    def read(native):
        monkeypatch.setattr(attention, "NATIVE", native)
        state = model.new_state(2, 32)
        model.hidden(Step(ids=torch.arange(16).view(2, 8) % 11, lengths=torch.tensor([8, 5])), state)
        return model.hidden(Step(ids=torch.arange(12).view(2, 6) % 11), state).float()

    monkeypatch.setattr(attention, "mix_by_blocks", watched)
    with torch.no_grad():
        wide = read(native=True)
        assert calls == []
        model.to(torch.bfloat16)
        theirs, ours = read(native=False), read(native=True)
    assert calls == [True, True, False, False]
    assert (ours - wide).norm() < 1.5 * (theirs - wide).norm()


@pytest.mark.parametrize(("family", "other"), [("llama", {}), ("bert", {}), ("llama", {"positions": ALiBi()})])
@pytest.mark.parametrize("length", [10, BLOCK + 10])
def test_models_train_in_bf16_without_the_kernel_of_torch(family, other, length, monkeypatch):
    monkeypatch.setattr(attention, "NATIVE", True)
    kernel, calls = F.scaled_dot_product_attention, []

    def watched(*arguments, **options):
        calls.append(arguments[0].dtype)
        return kernel(*arguments, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    options = {"family": family, "layers": 1, "hidden_size": 16, "heads": 2, "context": 256}
    model = make_module(replace(model_config(options, 11), **other))
    model.initialise(torch.Generator().manual_seed(0))
    step = Step(ids=torch.arange(length)[None] % 11, lengths=torch.tensor([length]))
    whole = model.hidden(step)
    assert calls == [torch.float32]
    with torch.autocast("cpu", torch.bfloat16):
        near = model.hidden(step)
        assert calls == [torch.float32]
    torch.testing.assert_close(near.float(), whole, rtol=0.05, atol=0.05)
