"""Memory that is not there before it is written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from fourfold.kernels import LowBit, pack
from fourfold.models.packed import LARGE_PAGE, LargePages, Packed, settle
from fourfold.models.untouched import untouched


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_memory_is_taken_when_it_is_written() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    room = untouched(1 << 30, large=False)
    assert room.shape == (1 << 30,)
    room[::LARGE_PAGE] = 7  # a byte in every large page
    assert resident() - before < 1 << 25
    assert int(room[1]) == 0


def test_packed_numbers_lie_side_by_side_and_stay_the_same() -> None:
    codes = torch.randint(0, 16, (48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    matrix: LowBit = pack(codes, torch.rand(48, 2), torch.rand(48, 2))
    holder = torch.nn.ModuleList([Packed(matrix), Packed(matrix._replace(scales=matrix.scales * 2))])
    wanted = [part.dense() for part in holder]
    settle(holder)
    assert all(torch.equal(part.dense(), one) for part, one in zip(holder, wanted, strict=True))
    places = [buffer.data_ptr() for part in holder for buffer in part.buffers()]
    assert places == sorted(places)
    assert places[0] % LARGE_PAGE == 0
    assert places[-1] - places[0] < LARGE_PAGE


def test_what_is_larger_than_a_piece_has_one_of_its_own() -> None:
    pages = LargePages()
    small, large, after = (pages.empty((size,), torch.int8) for size in (10, 100 << 20, 10))
    assert [len(part) for part in (small, large, after)] == [10, 100 << 20, 10]
    assert large.data_ptr() % LARGE_PAGE == 0
