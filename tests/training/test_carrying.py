"""Memory carried from step to step is one long row whose gradient stops at the cuts; and it survives a stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fourfold.models import RecurrentLM, Step, build_model
from fourfold.training import (
    Carried,
    FixedBatches,
    LabelledBatch,
    LanguageModelling,
    adamw,
    constant,
    load_latest_checkpoint,
    save_checkpoint,
    train,
)

V = 40
CELLS = ("lstm", "gru", "rnn", "feed-forward")


def make(family: str) -> RecurrentLM:
    model = build_model({"family": family, "layers": 2, "hidden_size": 16}, V, seed=1)
    assert isinstance(model, RecurrentLM)
    return model


def batches() -> FixedBatches:
    ids = torch.randint(V, (3, 41), generator=torch.Generator().manual_seed(0))
    return FixedBatches([[LabelledBatch(ids[:, a : a + 10], ids[:, a + 1 : a + 11])] for a in range(0, 40, 10)])


@pytest.mark.parametrize("family", CELLS)
def test_steps_see_what_came_before(family: str) -> None:
    model = make(family)
    carried = Carried(model, 3).train()
    whole = torch.cat([batch.ids for step in batches().steps for batch in step], 1)
    expected = model.hidden(Step(ids=whole)).detach()
    for number, (batch,) in enumerate(batches().steps):
        hidden = carried.hidden(batch.step())
        torch.testing.assert_close(hidden, expected[:, 10 * number : 10 * number + 10], rtol=1e-5, atol=1e-6)
        hidden.sum().backward()  # would fail if the graph of the step before were still in it
    carried.eval()
    torch.testing.assert_close(carried.hidden(Step(ids=whole)), expected)


@pytest.mark.parametrize("family", CELLS)
def test_a_stopped_training_goes_on_to_the_same_bits(family: str, tmp_path: Path) -> None:
    def run(carried: Carried, start: int, end: int, optimizer: torch.optim.Optimizer) -> None:
        for _ in train(
            carried, LanguageModelling(), batches(), optimizer, steps=end, start=start, schedule=constant(1e-2)
        ):
            pass

    whole = Carried(make(family), 3)
    run(whole, 0, 7, adamw(whole, 1e-2))
    first = Carried(make(family), 3)
    optimizer = adamw(first, 1e-2)
    run(first, 0, 4, optimizer)
    save_checkpoint(tmp_path, first, optimizer, 4)
    second = Carried(make(family), 3)
    optimizer = adamw(second, 1e-2)
    found = load_latest_checkpoint(tmp_path, second, optimizer)
    assert found is not None
    run(second, found.step, 7, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))
    assert torch.equal(whole.memory[0], second.memory[0])
