"""The compiled stack against the modules on the same packed weights and pages."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fourfold.kernels import kernels
from fourfold.models import LowRankDelta, Step, TransformerLM
from fourfold.models.linear import Linear
from fourfold.models.packed import Packed
from fourfold.models.transformer import Attention, Embedding, FeedForward, Norm, Rotary, TransformerConfig
from fourfold.models.transformer.fused import run_fused
from fourfold.models.transformer.paged import PagedCache
from tests.models.packing import pack_in_bytes

pytestmark = pytest.mark.skipif(kernels().library is None, reason=kernels().why)

BASE = TransformerConfig(
    vocabulary_size=90,
    hidden_size=64,
    layers=3,
    context=128,
    attention=Attention(heads=4, kv_heads=2, head_size=32),
    feed_forward=FeedForward(size=96),
)
SHAPES = {
    "llama": BASE,
    "biases": replace(
        BASE,
        attention=replace(BASE.attention, bias=True, output_bias=True),
        feed_forward=FeedForward(size=96, bias=True, activation="gelu"),
    ),
    "gemma": replace(
        BASE,
        norm=Norm(place="sandwich", offset=1.0),
        attention=Attention(heads=4, kv_heads=1, head_size=16, norm="head", windows=(20, None), softcap=3.0, scale=0.3),
        feed_forward=FeedForward(size=96, activation="gelu-tanh"),
        local_positions=Rotary(base=500.0),
        embedding=Embedding(scale=8.0),
    ),
    "plain": replace(
        BASE,
        attention=Attention(heads=2, head_size=80),
        feed_forward=FeedForward(size=64, gated=False, activation="relu"),
        positions=Rotary(share=0.5, interleaved=True),
    ),
}
IDS = torch.randint(0, 90, (3, 70), generator=torch.Generator().manual_seed(5))


def made(config: TransformerConfig) -> TransformerLM:
    """Random weights with something for every bias and norm to do, all matrices in 8 bits."""
    numbers = torch.Generator().manual_seed(3)
    model = TransformerLM(config)
    model.initialise(numbers)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=numbers)
        parameter.data += noise * (0.1 if parameter.dim() > 1 else 0.3)
    return pack_in_bytes(model).eval()


def paged(model: TransformerLM, rows: int, dtype: torch.dtype = torch.float32) -> PagedCache:
    return PagedCache.empty(model.stack.new_pages(rows * 8, dtype), rows)


def run(model: TransformerLM, step: Step, cache: PagedCache) -> Tensor:
    with torch.inference_mode():
        found = run_fused(model.stack, step, cache)
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("name", SHAPES)
def test_the_compiled_stack_is_that_of_the_modules(name: str, dtype: torch.dtype) -> None:
    model = made(SHAPES[name])
    compiled, plain = paged(model, 3, dtype), paged(model, 3, dtype)
    for part in (IDS[:, :41], IDS[:, 41:42], IDS[:, 42:43], IDS[:, 43:]):
        got = run(model, Step(ids=part), compiled)
        with torch.inference_mode():
            wanted = model.stack(Step(ids=part), plain)
        # Sums in another order turn some inputs of a product to the next byte: as far apart as rounding itself is.
        assert (got - wanted).square().mean().sqrt() < 0.03 * wanted.std()
        assert compiled.starts == plain.starts


@pytest.mark.parametrize("name", SHAPES)
def test_a_token_has_the_same_bits_whatever_is_in_the_step(name: str) -> None:
    model = made(SHAPES[name])
    whole = run(model, Step(ids=IDS), paged(model, 3))
    for row in range(3):
        cache, parts = paged(model, 1), []
        for start, end in ((0, 3), (3, 4), (4, 21), (21, 70)):
            parts.append(run(model, Step(ids=IDS[row : row + 1, start:end]), cache))
        assert torch.equal(torch.cat(parts, dim=1), whole[row : row + 1])


def test_threads_do_not_change_a_bit() -> None:
    model, before = made(BASE), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run(model, Step(ids=IDS), paged(model, 3))
        torch.set_num_threads(3)
        assert torch.equal(run(model, Step(ids=IDS), paged(model, 3)), one)
    finally:
        torch.set_num_threads(before)


def test_rows_of_different_lengths() -> None:
    model = made(BASE)
    lengths = torch.tensor([70, 1, 33])
    cache = paged(model, 3)
    got = run(model, Step(ids=IDS, lengths=lengths), cache)
    assert cache.starts == [70, 1, 33]
    for row, length in enumerate(lengths.tolist()):
        alone = run(model, Step(ids=IDS[row : row + 1, :length]), paged(model, 1))
        assert torch.equal(got[row : row + 1, :length], alone)
        assert not got[row, length:].any()
    after = run(model, Step(ids=IDS[:, :1]), cache)
    alone = paged(model, 1)
    run(model, Step(ids=IDS[2:, :33]), alone)
    assert torch.equal(run(model, Step(ids=IDS[2:, :1]), alone), after[2:])


def test_a_step_that_asks_for_more_is_left_to_the_modules() -> None:
    model = made(BASE)
    asked = {
        "documents": torch.zeros_like(IDS),
        "segments": torch.zeros_like(IDS),
        "positions": torch.arange(70).expand(3, 70),
        "adapters": torch.ones(3, 1),
    }
    with torch.inference_mode():
        for name, value in asked.items():
            assert run_fused(model.stack, Step(ids=IDS, **{name: value}), paged(model, 3)) is None
    assert run_fused(model.stack, Step(ids=IDS), paged(model, 3)) is None  # gradients are wanted
    with torch.inference_mode():
        assert run_fused(TransformerLM(BASE).eval().stack, Step(ids=IDS), paged(model, 3)) is None


def test_a_changed_model_is_seen() -> None:
    model = made(BASE)
    first = run(model, Step(ids=IDS), paged(model, 3))
    layer = model.stack.layers[0].attention.query
    assert isinstance(layer, Linear)
    layer.pack(Packed(layer.packed.matrix._replace(scales=layer.packed.scales * 2)))
    assert not torch.equal(run(model, Step(ids=IDS), paged(model, 3)), first)
    layer.deltas.append(LowRankDelta(64, 128, 2, 1.0))
    with torch.inference_mode():
        assert run_fused(model.stack, Step(ids=IDS), paged(model, 3)) is None
        assert run_fused(model.stack, Step(ids=IDS, adapters=0), paged(model, 3)) is not None
        layer.unpack(torch.float32)
        assert run_fused(model.stack, Step(ids=IDS), paged(model, 3)) is None
