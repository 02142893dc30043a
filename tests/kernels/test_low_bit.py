"""Packed matrices against the numbers they stand for, the compiled product against torch, set against set."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from fourfold.kernels import low_bit
from fourfold.kernels.native import SETS, Kernels, kernels

COMPILED = kernels()
RUN = [name for name in SETS if COMPILED.library is not None and SETS[name] <= COMPILED.set]
needs_library = pytest.mark.skipif(COMPILED.library is None, reason=COMPILED.why)


class Form(NamedTuple):
    bits: int
    group: int
    least: bool
    levels: bool


FORMS = [
    Form(4, 32, True, False),
    Form(4, 32, False, False),
    Form(4, 128, True, False),
    Form(4, 64, False, True),
    Form(8, 32, False, False),
    Form(8, 32, True, False),
    Form(8, 16, False, False),
    Form(8, 4096, False, False),
]


def made(form: Form, rows: int, columns: int, seed: int = 0) -> tuple[low_bit.LowBit, Tensor]:
    """A matrix of random codes, and what it stands for by the definition."""
    numbers = torch.Generator().manual_seed(seed)
    low, high = (-128, 128) if form.bits == 8 else (0, 16)
    kind = torch.int8 if form.bits == 8 else torch.uint8
    codes = torch.randint(low, high, (rows, columns), generator=numbers).to(kind)
    groups = -(-(-(-columns // 32) * 32) // form.group)
    scales = torch.rand(rows, groups, generator=numbers).half()
    leasts = torch.randn(rows, groups, generator=numbers).half() if form.least else None
    levels = torch.arange(-120, 120, 15, dtype=torch.int8) if form.levels else None
    values = (codes if levels is None else levels[codes.int()]).float()

    def spread(shared: Tensor) -> Tensor:
        return shared.float().repeat_interleave(form.group, dim=1)[:, :columns]

    wanted = values * spread(scales) + (spread(leasts) if leasts is not None else 0)
    return low_bit.pack(codes, scales, leasts, levels, form.group), wanted


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(FORMS), st.integers(1, 50), st.integers(1, 200), st.integers(0, 99))
def test_a_packed_matrix_stands_for_its_numbers(form: Form, rows: int, columns: int, seed: int) -> None:
    matrix, wanted = made(form, rows, columns, seed)
    assert torch.equal(low_bit.dense(matrix), wanted)
    ids = torch.tensor([[0, rows - 1], [rows // 2, 0]])
    assert torch.equal(low_bit.rows_of(matrix, ids), wanted[ids])
    assert (matrix.rows, matrix.columns, matrix.bits) == (rows, columns, form.bits)


@needs_library
@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FORMS), st.integers(1, 50), st.integers(1, 200), st.integers(1, 19), st.booleans())
def test_the_compiled_product_is_that_of_torch(form: Form, rows: int, columns: int, count: int, biased: bool) -> None:
    matrix, wanted = made(form, rows, columns)
    x = torch.randn(count, columns, generator=torch.Generator().manual_seed(count))
    bias = torch.arange(rows, dtype=torch.float32) if biased else None
    plain = low_bit.product_plain(matrix, x, bias)
    # Both round the inputs to the same bytes; what is left is the order of sums in fp32.
    reach = x.abs() @ wanted.abs().T + rows
    assert ((low_bit.product(matrix, x, bias) - plain).abs() <= 2e-6 * reach).all()
    # A code is off by half a step at most, a step is 1/127 of the block's largest input.
    exact = F.linear(x, wanted, bias)
    assert ((plain - exact).abs() <= x.abs().max() / 254 * wanted.abs().sum(dim=1) + 2e-6 * reach).all()


@needs_library
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("instructions", RUN)
def test_whole_number_sums_are_exact_in_every_set(form: Form, instructions: str) -> None:
    matrix, _ = made(form, 48, 96)
    extreme = torch.tensor([-127, 127], dtype=torch.int8).repeat(48)
    random = torch.randint(-127, 128, (96,), generator=torch.Generator().manual_seed(1)).to(torch.int8)
    plain = matrix._replace(scales=torch.ones_like(matrix.scales), leasts=None)
    for inputs in (extreme, random):
        values = low_bit.dense(plain)[16:32].double()
        wanted = (values * inputs.double()).view(16, 3, 2, 16).sum(dim=3).permute(1, 2, 0)
        assert torch.equal(low_bit.integers(matrix, 1, inputs, instructions).double(), wanted)


@needs_library
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("instructions", RUN)
def test_a_row_has_the_same_bits_in_every_batch(form: Form, instructions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_bit, "kernels", lambda: Kernels(COMPILED.library, instructions, ""))
    matrix, _ = made(form, 40, 96)
    x = torch.randn(77, 96, generator=torch.Generator().manual_seed(2))
    together = low_bit.product(matrix, x)
    for count in (1, 3, 4, 7, 8, 13):
        assert torch.equal(low_bit.product(matrix, x[-count:]), together[-count:])


@needs_library
@pytest.mark.parametrize("instructions", RUN)
def test_damaged_scales_show(instructions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_bit, "kernels", lambda: Kernels(COMPILED.library, instructions, ""))
    matrix, _ = made(FORMS[0], 16, 32)
    for bad in (torch.inf, torch.nan):
        matrix.scales[0, 0, 3] = bad
        y = low_bit.product(matrix, torch.ones(1, 32))[0]
        assert not y[3].isfinite()
        assert y[4:].isfinite().all()


@needs_library
@pytest.mark.parametrize("instructions", RUN)
def test_every_fp16_scale_is_read_as_it_is(instructions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_bit, "kernels", lambda: Kernels(COMPILED.library, instructions, ""))
    scales = torch.arange(1 << 15, dtype=torch.int16).view(torch.float16)
    scales = scales[scales.isfinite()][:, None]
    codes = torch.zeros(len(scales), 32, dtype=torch.int8)
    codes[:, 0] = 1
    x = torch.zeros(1, 32)
    x[0, 0] = 127.0
    assert torch.equal(low_bit.product(low_bit.pack(codes, scales), x)[0], scales[:, 0].float() * 127)


def test_no_input_is_no_output() -> None:
    assert low_bit.product(made(FORMS[0], 40, 96)[0], torch.empty(0, 96)).shape == (0, 40)


@needs_library
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("columns", [64, 76])
def test_rows_of_a_table_are_what_they_stand_for(form: Form, columns: int) -> None:
    matrix, wanted = made(form, 40, columns)
    ids = torch.tensor([[0, 39, 17], [17, 16, 15]])
    found = low_bit.rows_of(matrix, ids)
    torch.testing.assert_close(found, wanted[ids], rtol=0, atol=0)
    torch.testing.assert_close(low_bit.rows_of_plain(matrix, ids), found, rtol=0, atol=0)
    for wrong in (-1, 40):
        with pytest.raises(IndexError, match="outside 0 to 39"):
            low_bit.rows_of(matrix, torch.tensor([3, wrong]))
