"""Initialisation schemes: deviations as stated, and what muP is for: changes that keep their size with the width."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fourfold.models import EncoderDecoderConfig, Step, TransformerConfig, TransformerLM, build_model
from fourfold.models.files import load_model, save_model
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


T5_SIZES = {"family": "t5", "layers": 2, "hidden_size": 192, "heads": 3, "context": 32}
T5_NAMES = {
    "query.weight": ".q.weight",
    "key.weight": ".k.weight",
    "value.weight": ".v.weight",
    "output.weight": ".o.weight",
    "up.weight": ".wi.weight",
    "down.weight": ".wo.weight",
    "encoder.embedding.weight": "shared.weight",
    "encoder.positions.weight": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
}


def pooled_deviation(module: torch.nn.Module, ending: str) -> float:
    found = [parameter.detach().flatten() for name, parameter in module.named_parameters() if name.endswith(ending)]
    return float(torch.cat(found).std())


def test_t5_starts_as_in_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(vocab_size=400, d_model=192, d_kv=64, d_ff=768, num_layers=2, num_heads=3)
    torch.manual_seed(0)
    theirs, ours = transformers.T5ForConditionalGeneration(config), build_model(T5_SIZES, 400, seed=1)
    for mine, other in T5_NAMES.items():
        rough = 0.3 if "positions" in mine else 0.03  # the table of distances has 96 numbers only
        assert pooled_deviation(ours, mine) == pytest.approx(pooled_deviation(theirs, other), rel=rough), mine
    own_head = build_model({**T5_SIZES, "tied_embeddings": False}, 400, seed=1)
    assert pooled_deviation(own_head, "head.projection.weight") == pytest.approx(192**-0.5, rel=0.03)


def test_a_saved_t5_is_started_anew_as_t5(tmp_path: Path) -> None:
    """Fine-tuning compares with the model of the file's configuration, from random weights."""
    save_model(build_model(T5_SIZES, 400), tmp_path)
    config = load_model(tmp_path).config
    assert isinstance(config, EncoderDecoderConfig)
    assert (config.encoder.initialisation.kind, config.decoder.initialisation.kind) == ("t5", "t5")


def test_branches_start_alike_when_depth_has_no_say() -> None:
    name = "stack.layers.0.attention.output.weight"
    alike = replace(WIDE, initialisation=Initialisation(by_depth=False))
    assert deviation_of(alike, name) == pytest.approx(0.02, rel=0.05)
