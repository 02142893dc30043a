"""Adafactor against the paper's algorithm worked by hand, and against transformers' implementation."""

import numpy as np
import pytest
import torch
from torch import nn

from fourfold.models import build_model
from fourfold.training import adafactor, adamw

STEPS, RATE = 6, 0.03


def gradients(shape, seed):
    """Of very different sizes from step to step, so that the clipping of updates has work to do."""
    draw = np.random.default_rng(seed)
    return [draw.normal(size=shape) * scale for scale in (1, 30, 0.01, 3, 0.1, 1)]


def by_hand(weight, found):
    """Algorithm 4 of Shazeer and Stern (2018) with beta1 = 0, eps2 = 1e-3, d = 1 and decay 1 - t^-0.8, in float64."""
    rows, columns, flat = (np.zeros(weight.shape[:1]), np.zeros(weight.shape[-1:]), np.zeros(weight.shape))
    for step, gradient in enumerate(found, 1):
        kept, square = 1 - step**-0.8, gradient**2
        if weight.ndim == 2:
            rows = kept * rows + (1 - kept) * square.sum(1)
            columns = kept * columns + (1 - kept) * square.sum(0)
            variance = np.outer(rows, columns) / rows.sum()
        else:
            variance = flat = kept * flat + (1 - kept) * square
        update = gradient / np.sqrt(variance)
        update /= max(1.0, np.sqrt((update**2).mean()))
        weight = weight - max(1e-3, np.sqrt((weight**2).mean())) * RATE * update
    return weight


@pytest.mark.parametrize("shape", [(6, 10), (7,)])
@pytest.mark.parametrize("size", [1.0, 0.01])
def test_adafactor_follows_the_paper(shape, size):
    start = np.random.default_rng(1).normal(size=shape) * size
    model = nn.Module()
    model.register_parameter("weight", nn.Parameter(torch.tensor(start)))
    optimizer = adafactor(model, RATE)
    for gradient in gradients(shape, 2):
        model.weight.grad = torch.tensor(gradient)
        optimizer.step()
    wanted = by_hand(start, gradients(shape, 2))
    np.testing.assert_allclose(model.weight.detach().numpy(), wanted, rtol=1e-6, atol=1e-9 * size)


def test_adafactor_agrees_with_transformers():
    theirs = pytest.importorskip("transformers").Adafactor
    ours, other = nn.Linear(9, 5), nn.Linear(9, 5)
    other.load_state_dict(ours.state_dict())
    settings = {"lr": RATE, "scale_parameter": True, "relative_step": False, "warmup_init": False}
    optimizers = [adafactor(ours, RATE), theirs(other.parameters(), **settings)]
    draw = torch.Generator().manual_seed(3)
    for _ in range(STEPS):
        x = torch.randn(8, 9, generator=draw)
        for model, optimizer in zip((ours, other), optimizers, strict=True):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, other.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.bias, other.bias, rtol=1e-5, atol=1e-6)


def test_two_stacks_learn_slower_under_mup_too():
    table = {"family": "bart", "layers": 1, "hidden_size": 32, "heads": 2, "context": 16}
    scheme = {"kind": "mup", "base_hidden_size": 8}
    model = build_model({**table, "initialisation": scheme}, 60)
    scales = {group["scale"]: sum(p.numel() for p in group["params"]) for group in adamw(model, 1e-3).param_groups}
    layers = [*model.encoder.layers.parameters(), *model.decoder.layers.parameters()]
    assert set(scales) == {0.25, 1.0}
    assert scales[0.25] == sum(p.numel() for p in layers if p.dim() > 1)
