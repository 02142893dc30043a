"""Optimizers against their equations, PyTorch's own and each other."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fourfold.errors import UserError
from fourfold.models import TransformerConfig, TransformerLM
from fourfold.models.transformer import Attention, FeedForward, Head
from fourfold.training import (
    OPTIMIZERS,
    FixedBatches,
    adamw,
    causal_language_modelling,
    constant,
    make_optimizer,
    train,
)
from fourfold.training.optimizers.eight_bit import AdamW8bit, Packed, dynamic_code, pack, packed_zeros, unpack
from fourfold.training.optimizers.groups import hidden_matrices


def fit(model, optimizer, random_batch, steps=5):
    batches = FixedBatches([[random_batch(seed=step)] for step in range(steps)])
    rate = optimizer.param_groups[0]["lr"]
    return [
        step.losses["loss"]
        for step in train(model, causal_language_modelling(), batches, optimizer, steps=steps, schedule=constant(rate))
    ]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_each_of_them_learns_and_decays_only_matrices(kind, tiny, random_batch):
    model = tiny()
    optimizer = make_optimizer(kind, model, 0.01, weight_decay=0.2)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    decaying = {name for name, parameter in model.named_parameters() if decays[id(parameter)]}
    assert decaying == {"query.weight", "value.weight"}
    assert len(decays) == len(list(model.parameters()))
    losses = [fit(model, optimizer, lambda seed: random_batch(seed=0), 30)[index] for index in (0, -1)]
    assert losses[1] < 0.8 * losses[0]


def test_lion_by_its_algorithm(tiny, random_batch):
    """Chen et al. (2023), algorithm 2, in numpy, over five steps of one matrix."""
    torch.manual_seed(0)
    layer = nn.Linear(6, 4, bias=False)
    optimizer = make_optimizer("lion", layer, 0.01, weight_decay=0.3)
    weight, momentum = layer.weight.detach().numpy().copy(), np.zeros((4, 6), np.float32)
    for _ in range(5):
        gradient = torch.randn(4, 6)
        layer.weight.grad = gradient.clone()
        optimizer.step()
        g = gradient.numpy()
        weight = weight - 0.01 * (np.sign(0.9 * momentum + 0.1 * g) + 0.3 * weight)
        momentum = 0.99 * momentum + 0.01 * g
        np.testing.assert_allclose(layer.weight.detach().numpy(), weight, atol=1e-6)


def test_muon_moves_matrices_as_torch_does_and_the_rest_as_adamw(tiny, random_batch):
    model, twin = tiny(), tiny()
    optimizer = make_optimizer("muon", model, 0.01, weight_decay=0.1)
    matrices = [twin.query.weight, twin.value.weight]
    rest = [parameter for parameter in twin.parameters() if all(parameter is not matrix for matrix in matrices)]
    parts = [
        torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=0.01, weight_decay=0.0, betas=(0.9, 0.95)),
    ]
    batch, objective = random_batch(), causal_language_modelling()
    for _ in range(3):
        for one, steppers in ((model, [optimizer]), (twin, parts)):
            one.zero_grad()
            loss = objective(one, batch)["cross_entropy"] / objective.counts(batch)["cross_entropy"]
            loss.backward()
            for stepper in steppers:
                stepper.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_a_head_with_a_row_for_each_token_is_no_hidden_matrix():
    config = TransformerConfig(
        vocabulary_size=50,
        hidden_size=16,
        layers=1,
        context=16,
        attention=Attention(heads=2),
        feed_forward=FeedForward(size=32),
        head=Head(tied=False),
    )
    model = TransformerLM(config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(parameter)] for parameter in hidden_matrices(model, list(model.parameters()))}
    assert found
    assert not any("embedding" in name or "head" in name for name in found)


@pytest.mark.parametrize("signed", [True, False])
def test_the_dynamic_code(signed):
    code = dynamic_code(signed)
    assert len(code) == len(code.unique()) == 256
    assert code.tolist() == sorted(code.tolist())
    assert (code[-1].item(), 0.0 in code.tolist()) == (1.0, True)
    assert code[0].item() == (pytest.approx(-0.99, abs=0.01) if signed else 0.0)
    positive = code[code > 0]
    assert positive.min() < 1e-6
    steps = positive[1:] / positive[:-1]
    assert steps[positive[:-1] > 1e-2].max() < (1.3 if signed else 1.15)  # relative precision where values are large


@pytest.mark.parametrize("size", [1, 255, 256, 1000])
def test_packed_values_come_back_within_half_a_step(size):
    values = torch.randn(size) * torch.logspace(-6, 2, size)
    packed = pack(values, True)
    assert (packed.codes.dtype, len(packed.codes), len(packed.scales)) == (torch.uint8, size, -(-size // 256))
    back = unpack(packed, True, values)
    code = dynamic_code(True)
    for begin in range(0, size, 256):
        block, scale = values[begin : begin + 256], values[begin : begin + 256].abs().max()
        nearest = (block[:, None] / scale - code).abs().min(1).values * scale
        torch.testing.assert_close((back[begin : begin + 256] - block).abs(), nearest, atol=1e-5 * float(scale), rtol=0)
    assert torch.equal(unpack(Packed(*pack(torch.zeros(300), False)), False, torch.zeros(300)), torch.zeros(300))


@pytest.mark.parametrize("signed", [True, False])
def test_moments_begin_as_packed_zeros(signed):
    zeros = torch.zeros(300)
    for one, other in zip(packed_zeros(zeros, signed), pack(zeros, signed), strict=True):
        assert torch.equal(one, other)


def test_small_moments_are_adamws_own(tiny, random_batch):
    one, two = tiny(), tiny()
    ours = fit(one, make_optimizer("adamw-8bit", one, 0.01), random_batch)
    theirs = fit(two, adamw(two, 0.01), random_batch)
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_packed_moments_take_two_bytes_a_weight_and_learn_as_well():
    torch.manual_seed(0)
    inputs = torch.randn(256, 96)
    targets = inputs @ torch.randn(96, 96) / 10
    first = nn.Linear(96, 96, bias=False)
    second = copy.deepcopy(first)
    losses = []
    for layer, optimizer in (
        (first, AdamW8bit([{"params": [first.weight]}], lr=3e-3)),
        (second, torch.optim.AdamW([second.weight], lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0)),
    ):
        for _ in range(200):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(layer(inputs), targets)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
        if layer is first:
            state = optimizer.state[first.weight]
            tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
            size = sum(value.numel() * value.element_size() for value in tensors)
            assert size / first.weight.numel() == pytest.approx(2 + 2 * 4 / 256)
    assert losses[0] < max(3 * losses[1], 1e-4)


def test_an_unknown_optimizer_names_the_nearest(tiny):
    with pytest.raises(UserError, match="Did you mean 'adafactor'"):
        make_optimizer("adafacto", tiny(), 0.1)
