"""Initialisation schemes: deviations as stated, and what muP is for: changes that keep their size with the width."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fourfold.models import Step, TransformerConfig, TransformerLM
from fourfold.models.transformer import Attention, FeedForward, Head, Initialisation, Norm, mup
from fourfold.training import adamw
from tests.models.transformer.axes import BASE

WIDE = replace(BASE, hidden_size=256, attention=Attention(heads=4), feed_forward=FeedForward(size=512))


def deviation_of(config: TransformerConfig, name: str) -> float:
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    return float(model.get_parameter(name).detach().std())


@pytest.mark.parametrize(
    ("scheme", "name", "want"),
    [
        ("gpt2", "stack.layers.0.attention.query.weight", 0.02),
        ("gpt2", "stack.layers.0.attention.output.weight", 0.02 / math.sqrt(6)),
        ("scaled", "stack.layers.0.feed_forward.up.weight", math.sqrt(2 / (5 * 256))),
        ("mup", "stack.layers.0.attention.query.weight", 0.02 * math.sqrt(64 / 256)),
        ("mup", "stack.embedding.weight", 0.02),
        ("deep", "stack.layers.0.attention.query.weight", math.sqrt(2 / 512)),
        ("deep", "stack.layers.0.attention.value.weight", math.sqrt(2 / 512) * 24**-0.25),
    ],
)
def test_deviations(scheme: str, name: str, want: float) -> None:
    start = Initialisation(kind=scheme, base_hidden_size=64)
    config = replace(WIDE, initialisation=start, norm=Norm(place="deep" if scheme == "deep" else "pre"))
    assert deviation_of(config, name) == pytest.approx(want, rel=0.05)


def test_a_tied_head_that_scales_down_finds_large_embeddings() -> None:
    scaled = replace(WIDE, head=Head(scale=256**-0.5))
    assert deviation_of(scaled, "stack.embedding.weight") == pytest.approx(0.02 * 16, rel=0.05)
    assert deviation_of(WIDE, "stack.embedding.weight") == pytest.approx(0.02, rel=0.05)


def test_mup_groups_learn_slower() -> None:
    model = TransformerLM(mup(WIDE, 64))
    model.initialise(torch.Generator().manual_seed(0))
    scales = {group["scale"]: sum(p.numel() for p in group["params"]) for group in adamw(model, 1e-3).param_groups}
    assert set(scales) == {0.25, 1.0}
    assert scales[0.25] == sum(p.numel() for p in model.stack.layers.parameters() if p.dim() > 1)


def change_after_steps(config: TransformerConfig) -> float:
    """Root mean square of what three steps of training change in the logits."""
    model = TransformerLM(config)
    model.initialise(torch.Generator().manual_seed(0))
    ids = torch.randint(50, (8, 16), generator=torch.Generator().manual_seed(2))
    optimizer = adamw(model, 3e-3, weight_decay=0.0)
    for group in optimizer.param_groups:
        group["lr"] *= group["scale"]
    with torch.no_grad():
        before = model.logits(model.hidden(Step(ids=ids)))
    for _ in range(3):
        logits = model.logits(model.hidden(Step(ids=ids)))
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        after = model.logits(model.hidden(Step(ids=ids)))
    return float((after - before).square().mean().sqrt())


def test_mup_changes_stay_put_while_standard_ones_grow_with_the_width() -> None:
    def width(size: int) -> TransformerConfig:
        return replace(
            BASE, hidden_size=size, attention=Attention(heads=size // 16), feed_forward=FeedForward(size=2 * size)
        )

    standard = change_after_steps(width(512)) / change_after_steps(width(64))
    maximal = change_after_steps(mup(width(512), 64)) / change_after_steps(mup(width(64), 64))
    assert standard > 2.5
    assert 0.5 < maximal < 2
