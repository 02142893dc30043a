"""Rows by number: ramps and replay are functions of the step, and nothing is lost or read twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourfold.pretraining.corpus import BatchRamp, RampedBatches, ReplayedRows
from fourfold.training import LabelledBatch


@dataclass
class Numbered:
    """Row n holds the number n, plus an offset that tells the texts apart."""

    offset: int = 0
    batch_size: int = 4

    def rows_from(self, first: int, count: int) -> Sequence[LabelledBatch]:
        ids = torch.arange(first, first + count)[:, None] + self.offset
        return [LabelledBatch(ids=ids, labels=ids)]

    def at(self, step: int) -> Sequence[LabelledBatch]:
        return self.rows_from(step * self.batch_size, self.batch_size)


def numbers(batches: Sequence[LabelledBatch]) -> list[int]:
    return [int(row) for batch in batches for row in batch.ids[:, 0]]


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 40))
def test_a_ramp_rises_evenly_and_reads_every_row_once(start: int, more: int, steps: int) -> None:
    ramp = BatchRamp(start=start, full=start + more, steps=steps)
    sizes = [ramp.size(step) for step in range(steps + 5)]
    assert sizes[0] == start
    assert sizes == sorted(sizes)
    assert sizes[steps:] == [start + more] * 5
    assert [ramp.before(step) for step in range(steps + 5)] == [sum(sizes[:step]) for step in range(steps + 5)]
    read = [n for step in range(steps + 5) for n in numbers(RampedBatches(Numbered(), ramp).at(step))]
    assert read == list(range(sum(sizes)))
    for rows in (1, start, sum(sizes) - 1, sum(sizes), sum(sizes) + 7):
        needed = ramp.steps_for(rows)
        assert ramp.before(needed) >= rows
        assert needed == 1 or ramp.before(needed - 1) < rows


@given(st.floats(0.01, 0.99), st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_replay_keeps_its_share_and_both_orders_however_rows_are_cut(share: float, sizes: list[int]) -> None:
    mixed = ReplayedRows(Numbered(), Numbered(offset=1000), share)
    read, first = [], 0
    for size in sizes:
        part = numbers(mixed.rows_from(first, size))
        assert len(part) == size
        read += part
        first += size
    own, other = [n for n in read if n < 1000], [n for n in read if n >= 1000]
    assert own == list(range(len(own)))
    assert other == list(range(1000, 1000 + len(other)))
    assert len(other) == int(first * share) or abs(len(other) - first * share) < 1


def test_gpt3s_ramp() -> None:
    """32 thousand tokens to 3.2 million, rows of 2,048 (Brown et al. 2020, section 2.3)."""
    ramp = BatchRamp(start=16, full=1600, steps=5000)
    assert [ramp.size(step) for step in (0, 2500, 5000, 10**6)] == [16, 808, 1600, 1600]
    assert ramp.before(5000) * 2048 == pytest.approx(8.3e9, rel=0.01)  # of the 4 to 12 billion it tells
