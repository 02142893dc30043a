"""Packed weights in modules: against the dense numbers they stand for."""

from __future__ import annotations

import torch
from torch import nn

from fourfold.kernels import pack
from fourfold.models import Linear, LowRankDelta
from fourfold.models.linear import hold, make_dense, places_to_pack, project
from fourfold.models.packed import Packed, PackedEmbedding, settle


def packed(rows: int, columns: int, seed: int = 0) -> Packed:
    numbers = torch.Generator().manual_seed(seed)
    codes = torch.randint(-127, 128, (rows, columns), generator=numbers).to(torch.int8)
    return Packed(pack(codes, torch.rand(rows, -(-columns // 32), generator=numbers) / 100))


def layer(seed: int = 0) -> tuple[Linear, Linear]:
    """A layer with packed weights and a bias, and one with the same in fp32."""
    low, dense = Linear(40, 24, bias=True), Linear(40, 24, bias=True)
    low.pack(packed(24, 40, seed))
    assert low.packed is not None
    dense.weight = nn.Parameter(low.packed.dense())
    low.bias = dense.bias = nn.Parameter(torch.arange(24.0))
    return low, dense


def test_a_packed_layer_computes_with_its_numbers() -> None:
    low, dense = layer()
    x = torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(1))
    assert (low.in_size, low.out_size) == (40, 24)
    assert torch.allclose(low(x), dense(x), atol=0.02 * dense(x).std().item(), rtol=0.01)
    assert low(x.bfloat16()).dtype == torch.bfloat16


def test_deltas_act_on_a_packed_layer() -> None:
    low, _ = layer()
    delta = LowRankDelta(40, 24, 2, 0.5)
    nn.init.normal_(delta.down)
    nn.init.normal_(delta.up)
    x = torch.randn(3, 1, 40)
    without = low(x)
    low.deltas.append(delta)
    assert torch.equal(low(x, 0), without)
    assert torch.equal(low(x), without + delta(x))


def test_the_gradient_goes_to_the_input_and_the_bias() -> None:
    low, dense = layer()
    x = torch.randn(5, 40, requires_grad=True)
    low(x).square().sum().backward()
    got, bias = x.grad, low.bias.grad
    assert got is not None
    assert bias is not None
    wanted = 2 * low(x).detach() @ dense.weight
    assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-2)
    assert torch.allclose(bias, 2 * low(x).detach().sum(dim=0), rtol=1e-4)


def test_a_packed_table_is_looked_up_and_multiplied() -> None:
    table = PackedEmbedding(packed(50, 64))
    dense = table.packed.dense()
    ids = torch.tensor([[3, 49], [0, 3]])
    assert torch.equal(table(ids), dense[ids])
    x = torch.randn(2, 64)
    assert torch.allclose(project(x, table), x @ dense.T, atol=0.02 * (x @ dense.T).std().item(), rtol=0.01)


def test_number_types_leave_packed_numbers_alone() -> None:
    low, _ = layer()
    before = low.packed.dense()
    low.to(torch.bfloat16)
    assert low.packed.scales.dtype == torch.float16
    assert torch.equal(low.packed.dense(), before)


def test_packed_modules_become_dense_again() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(20, 32), "router": Linear(32, 4), "up": Linear(32, 8)})
    assert places_to_pack(model) == ["embedding", "up"]
    hold(model, "embedding", packed(20, 32))
    hold(model, "up", packed(8, 32, 1))
    settle(model)
    assert isinstance(model["embedding"], PackedEmbedding)
    wanted = model["embedding"].packed.dense(), model["up"].packed.dense()
    make_dense(model)
    assert isinstance(model["embedding"], nn.Embedding)
    assert torch.equal(model["embedding"].weight, wanted[0])
    assert torch.equal(model["up"].weight, wanted[1])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_settled_numbers_are_the_same() -> None:
    low, _ = layer()
    before = {name: buffer.clone() for name, buffer in low.packed.named_buffers()}
    settle(low)
    assert all(torch.equal(buffer, before[name]) for name, buffer in low.packed.named_buffers())
