"""Methods against hand-worked numbers and error bounds, models quantized whole, saved and loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fourfold
from fourfold.adaptation.quantization import METHODS, QuantizeOptions, quantize
from fourfold.errors import UserError
from fourfold.kernels import dense
from fourfold.models import Linear, TransformerLM, is_packed, make_dense
from fourfold.models.files import load_model, save_model
from fourfold.models.transformer import Attention, FeedForward, Head, TransformerConfig
from fourfold.tokenizers import byte_tokenizer

CONFIG = TransformerConfig(
    vocabulary_size=260,
    hidden_size=64,
    layers=2,
    context=64,
    attention=Attention(heads=4, kv_heads=2),
    feed_forward=FeedForward(size=96),
)
IDS = torch.tensor([[1, 5, 9, 2, 40, 7]])
CHOICES = [
    QuantizeOptions(),
    QuantizeOptions(bits=8, group=32),
    QuantizeOptions(bits=4),
    QuantizeOptions(bits=4, group=128, head_bits=4),
    QuantizeOptions(bits=4, group=32, zero_point=True),
    QuantizeOptions(method="nf4", bits=4, group=64),
]


def made(tied: bool = True) -> TransformerLM:
    from dataclasses import replace

    model = TransformerLM(replace(CONFIG, head=Head(tied=tied)))
    model.initialise(torch.Generator().manual_seed(3))
    for parameter in model.parameters():
        parameter.data.mul_(4 if parameter.dim() > 1 else 1)
    return model.eval()


def rounded(weight: torch.Tensor, **options: object) -> torch.Tensor:
    chosen = QuantizeOptions(**options)
    return dense(METHODS[chosen.method](weight, chosen, None))


def test_absmax_by_hand() -> None:
    row = torch.zeros(1, 32)
    row[0, :4] = torch.tensor([12.7, -6.36, 0.04, 3.0])
    # scale 0.1: 127, -64, 0, 30
    assert torch.allclose(rounded(row)[0, :4], torch.tensor([12.7, -6.4, 0.0, 3.0]), atol=0.01)
    row[0, :4] = torch.tensor([7.0, -3.4, 0.6, 2.5])
    assert rounded(row, bits=4)[0, :4].tolist() == [7.0, -3.0, 1.0, 2.0]


def test_a_zero_point_keeps_the_least_and_the_largest() -> None:
    row = torch.linspace(5.0, 20.0, 32)[None]
    got = rounded(row, bits=4, group=32, zero_point=True)
    assert got[0, 0] == 5.0
    assert got[0, -1] == 20.0
    assert (got - row).abs().max() <= 0.5
    assert (rounded(row, bits=4, group=32) - row).abs().max() > 1.0


def test_normal_floats_are_the_published_levels() -> None:
    levels = torch.tensor([-1.0, -0.6961928, -0.5250731, 0.0, 0.0795803, 0.7229568, 1.0])
    row = torch.zeros(1, 64)
    row[0, :7] = levels
    assert torch.allclose(rounded(row, method="nf4", bits=4)[0, :7], levels, atol=0.5 / 127 + 1e-3)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(CHOICES), st.integers(1, 40), st.integers(1, 200), st.integers(0, 99))
def test_no_value_is_off_by_more_than_half_a_step(options: QuantizeOptions, rows: int, columns: int, seed: int) -> None:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    got = dense(METHODS[options.method](weight, options, None))
    most = weight.abs().max()
    # Half of the widest step: 1/127, 1/7, of a range of twice the largest 1/15, and between NF4's levels -1 and -0.696.
    step = {8: most / 127, 4: most / 7}[options.bits] if options.method == "absmax" else 0.31 * most
    assert (got - weight).abs().max() <= step * 0.51 + most / 500
    assert not rounded(torch.zeros(3, 40), method=options.method, bits=options.bits).any()


@pytest.mark.parametrize("options", CHOICES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_quantized_model_is_saved_and_loaded(tmp_path: Path, options: QuantizeOptions, tied: bool) -> None:
    model = made(tied)
    with torch.no_grad():
        exact = model(IDS)[0]
        layers = list(quantize(model, options))
        before = model(IDS)[0]
    assert len(layers) == 2 * 7 + (1 if tied else 2)
    assert all(0 < layer.error < 0.2 for layer in layers)
    assert (before - exact).square().mean().sqrt() < (0.5 if options.bits == 4 else 0.05) * exact.std()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert is_packed(again)
    with torch.no_grad():
        assert torch.equal(again.eval()(IDS)[0], before)
    plain = load_model(tmp_path, torch.float32)
    assert not is_packed(plain)
    make_dense(model)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), model.parameters(), strict=True))


def test_a_folder_speaks(tmp_path: Path) -> None:
    model = made()
    list(quantize(model, QuantizeOptions(bits=4)))
    save_model(model, tmp_path)
    byte_tokenizer().save(tmp_path)
    lm = fourfold.load(tmp_path)
    (answer,) = lm.generate(["ab"], fourfold.Sampling(max_tokens=4, temperature=0.0))
    assert len(answer.ids) <= 4
    lm.save(tmp_path / "again")
    assert fourfold.load(tmp_path / "again").score(["some text"])[0].total == lm.score(["some text"])[0].total


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quant_method": "other"}, "unknown quantization"),
        ({"weights": {"stack.layers.0.attention.query": [64, 64]}}, "sizes"),
        ({"weights": {"stack.layers.9.attention.query": [64, 64, 32]}}, "no such weight"),
        ({"weights": {"stack.layers.0.attention.query": [64, 32, 64]}}, "instead of"),
        ({"weights": {"stack.layers.0.attention.query": [64, 64, 48]}}, "groups of 48"),
        ({"weights": {}}, "missing"),
    ],
)
def test_damaged_folders_are_told(tmp_path: Path, change: dict[str, object], told: str) -> None:
    model = made()
    list(quantize(model, QuantizeOptions(bits=4)))
    save_model(model, tmp_path)
    keys = json.loads((tmp_path / "config.json").read_text())
    keys["quantization_config"] |= change
    (tmp_path / "config.json").write_text(json.dumps(keys))
    with pytest.raises(UserError, match=told):
        load_model(tmp_path)


def test_what_cannot_be_quantized_is_told() -> None:
    model = made()
    list(quantize(model, QuantizeOptions()))
    with pytest.raises(UserError, match="quantized already"):
        next(quantize(model, QuantizeOptions()))
    with pytest.raises(UserError, match="only transformers"):
        next(quantize(Linear(4, 4), QuantizeOptions()))
    broken = made()
    broken.stack.layers[0].attention.query.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match="not numbers"):
        next(quantize(broken, QuantizeOptions()))
    for wrong in ({"bits": 5}, {"group": 33}, {"method": "x"}, {"zero_point": True}, {"method": "nf4"}):
        with pytest.raises(UserError):
            QuantizeOptions(**wrong)
