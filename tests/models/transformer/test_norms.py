"""The norms against torch's own, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fourfold.models.transformer import Norm
from fourfold.models.transformer.norms import make_norm


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(5, 16), (2, 3, 16), (2, 3, 4, 16)])
def test_rms_norm(shape: tuple[int, ...], offset: float) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = make_norm(Norm(offset=offset, epsilon=1e-6), 16)
    with torch.no_grad():
        norm.weight.add_(torch.randn(16, generator=generator))
    x = torch.randn(shape, generator=generator, requires_grad=True)
    pull = torch.randn(shape, generator=generator)
    wanted = F.rms_norm(x, (16,), norm.weight + offset, 1e-6)
    torch.testing.assert_close(norm(x), wanted)
    mine = torch.autograd.grad(norm(x), (x, norm.weight), pull)
    theirs = torch.autograd.grad(wanted, (x, norm.weight), pull)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_rms_norm_computes_in_fp32() -> None:
    norm = make_norm(Norm(), 64)
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) * 1e4
    torch.testing.assert_close(
        norm.bfloat16()(x.bfloat16()).float(), norm.float()(x.bfloat16().float()), rtol=1e-2, atol=1e-2
    )
    assert torch.isfinite(norm.bfloat16()(x.bfloat16() * 1e15)).all()


def test_layer_norm_sums_in_fp32() -> None:
    norm = make_norm(Norm(kind="layer"), 4096)
    x = (torch.randn(4, 4096, generator=torch.Generator().manual_seed(0)) + 30).bfloat16()
    torch.testing.assert_close(norm.bfloat16()(x).float(), norm.float()(x.float()), rtol=1e-2, atol=1e-2)


def test_layer_norm_without_bias() -> None:
    norm = make_norm(Norm(kind="layer", bias=False), 16)
    x = torch.randn(3, 16)
    torch.testing.assert_close(norm(x), F.layer_norm(x, (16,), eps=1e-5))
    assert [name for name, _ in norm.named_parameters()] == ["weight"]
