"""Data that is dead is refused, and data that is only short or odd is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch

from fourfold.errors import UserError
from fourfold.training import LabelledBatch, LiveData


@dataclass
class Made:
    make: Callable[[int], torch.Tensor]

    def at(self, step: int) -> Sequence[LabelledBatch]:
        ids = self.make(step)
        return [LabelledBatch(ids=ids, labels=ids)]


def drawn(step: int) -> torch.Tensor:
    return torch.randint(0, 50, (2, 8), generator=torch.Generator().manual_seed(step))


def read(source: LiveData, steps: range) -> int:
    return sum(batch.tokens for step in steps for batch in source.at(step))


def test_living_data_passes_as_it_is() -> None:
    assert read(LiveData(Made(drawn)), range(20)) == 20 * 16
    assert torch.equal(LiveData(Made(drawn)).at(7)[0].ids, drawn(7))


def test_a_source_that_stands_still_is_refused_wherever_it_begins() -> None:
    for start in (0, 5):
        source = LiveData(Made(lambda step, start=start: drawn(min(step, start))))  # type: ignore[misc]
        with pytest.raises(UserError, match=rf"training step {start + 3}: the data has given the same batch 4 times"):
            read(source, range(20))


def test_a_text_of_one_batch_and_a_stutter_pass() -> None:
    assert read(LiveData(Made(lambda step: drawn(0)), one_batch=True), range(20)) == 320
    assert read(LiveData(Made(lambda step: drawn(step // 3))), range(20)) == 320


def test_one_token_over_and_over_is_refused_and_one_such_step_is_not() -> None:
    def constant(step: int) -> torch.Tensor:
        rows = torch.full((2, 8), 7)
        rows[:, 0] = 49  # a start token
        return rows

    with pytest.raises(UserError, match=r"training step 3: every token of 4 steps is the same, got id 7"):
        read(LiveData(Made(constant), one_batch=True), range(20))
    read(LiveData(Made(lambda step: constant(step) if step == 5 else drawn(step))), range(20))


def test_nothing_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="training step 0: the data gave no tokens"):
        LiveData(Made(lambda step: torch.empty(2, 0, dtype=torch.long))).at(0)
