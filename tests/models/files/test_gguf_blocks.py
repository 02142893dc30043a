"""The packed number formats, against the `gguf` package and llama.cpp's own code."""

import numpy as np
import pytest
import torch

from fourfold.models.files.gguf_blocks import BF16, F16, F32, FORMATS, Q4_0, Q4_K, Q5_0, Q8_0, dequantize
from fourfold.models.files.gguf_quantize import quantize, quantized_parts


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def heavy(*shape, seed=1):
    """Like real weights: most small, a few large."""
    return normal(*shape, seed=seed) * normal(*shape, seed=seed + 1).abs()


def test_every_type_gguf_can_unpack_is_bit_equal():
    gguf = pytest.importorskip("gguf")
    generator = np.random.default_rng(0)
    tried = 0
    for kind in gguf.quants._type_traits:
        _, size = gguf.GGML_QUANT_SIZES[kind]
        raw = generator.integers(0, 256, (40, size), dtype=np.uint8)
        with np.errstate(all="ignore"):
            theirs = gguf.quants.dequantize(raw, kind).reshape(-1)
            ours = dequantize(torch.from_numpy(raw.reshape(-1)), int(kind)).numpy()
        assert np.array_equal(ours, theirs.astype(np.float32), equal_nan=True), kind
        tried += 1
    assert tried > 20


@pytest.mark.parametrize("kind", [F32, F16, BF16, Q8_0, Q5_0, Q4_0])
def test_packing_is_bit_equal_to_gguf(kind):
    gguf = pytest.importorskip("gguf")
    values = torch.cat([normal(64, 96), heavy(1000, 96) * 0.02, torch.zeros(3, 96), -normal(9, 96).abs()])
    values[5, ::2] = 0.5 * values[5].abs().max() / 127  # halves: ggml rounds them away from zero
    values[6] = 1e-30
    theirs = gguf.quants.quantize(values.numpy(), gguf.GGMLQuantizationType(kind))
    assert np.array_equal(quantize(values, kind).numpy(), np.ascontiguousarray(theirs).view(np.uint8).reshape(-1))


@pytest.mark.parametrize("kind", [F16, Q8_0, Q4_0, Q4_K])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_are_the_whole(kind, dtype):
    values = normal(130, 512).to(dtype)
    parts = list(quantized_parts(values, kind))
    assert len(parts) > 1
    assert torch.equal(torch.cat(parts), quantize(values.float(), kind))


@pytest.mark.parametrize("made", [normal, heavy, lambda *shape: normal(*shape).abs(), lambda *shape: -normal(*shape)])
def test_q4_k_is_as_close_as_llama_cpp(peer, made):
    values = made(200, 512)
    ours = dequantize(quantize(values, Q4_K), Q4_K).view(values.shape)
    theirs = dequantize(peer.quantize_q4_k(values), Q4_K).view(values.shape)
    assert (ours - values).square().mean() <= 1.03 * (theirs - values).square().mean()


def test_q4_k_keeps_what_it_can_hold():
    steps = torch.arange(16.0).repeat(16).view(1, 256)
    for values in (torch.zeros(1, 256), steps * 63, steps * -63, (steps - 15) * 63):
        again = dequantize(quantize(values, Q4_K), Q4_K).view(1, 256)
        torch.testing.assert_close(again, values, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e4, 1e30])
def test_q4_k_of_any_size_is_finite(scale):
    values = heavy(20, 256) * scale
    values[0] = 5 * scale
    values[1, 7] = 1000 * scale
    again = dequantize(quantize(values, Q4_K), Q4_K).view(values.shape)
    assert again.isfinite().all()
    if scale < 1e30:  # beyond fp16 the largest value it can hold stands
        assert (again - values).abs().max() <= 0.1 * values.abs().max() + 6e-5  # the smallest fp16 times 15 * 63


@pytest.mark.parametrize("kind", [Q8_0, Q5_0, Q4_0, Q4_K])
def test_sizes_are_those_of_the_format(kind):
    form = FORMATS[kind]
    assert len(quantize(normal(3, 512), kind)) == 3 * 512 // form.values * form.bytes


def test_misaligned_plain_numbers_are_read():
    raw = torch.cat([torch.zeros(1, dtype=torch.uint8), torch.tensor([1.5, -2.0]).view(torch.uint8)])
    assert dequantize(raw[1:], F32).tolist() == [1.5, -2.0]
