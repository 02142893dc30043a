"""Recurrent and feed-forward language models against torch's own cells, hand-written sums and the plain softmax."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fourfold.errors import UserError
from fourfold.models import LabelScorer, RecurrentConfig, RecurrentLM, Step
from fourfold.training import LabelledBatch, LanguageModelling

V, D = 97, 24
ORACLES = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}


def make(**options: object) -> RecurrentLM:
    model = RecurrentLM(RecurrentConfig(vocabulary_size=V, hidden_size=D, **options))
    model.initialise(torch.Generator().manual_seed(1))
    return model.eval()


def ids(rows: int = 3, length: int = 9) -> torch.Tensor:
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ORACLES)
def test_logits_are_those_of_torchs_cells(cell: str, layers: int) -> None:
    model = make(cell=cell, layers=layers)
    oracle = ORACLES[cell](D, D, layers, batch_first=True)
    oracle.load_state_dict(
        {name.removeprefix("cells."): t for name, t in model.state_dict().items() if "cells" in name}
    )
    table = model.embedding.weight
    expected = oracle(F.embedding(ids(), table))[0] @ table.T
    torch.testing.assert_close(model(ids())[0], expected)


@pytest.mark.parametrize("window", [1, 3])
def test_a_feed_forward_model_is_bengios_formula(window: int) -> None:
    model = make(cell="feed-forward", window=window)
    weight, bias = model.cells.first.weight, model.cells.first.bias
    hidden = model.hidden(Step(ids=ids()))
    for row, place in ((0, 0), (1, 4), (2, 8)):
        read = [torch.zeros(D)] * window + [model.embedding.weight[token] for token in ids()[row, : place + 1]]
        expected = torch.tanh(weight @ torch.cat(read[-window:]) + bias)
        torch.testing.assert_close(hidden[row, place], expected)
    changed = ids()
    changed[:, 0] = (changed[:, 0] + 1) % V
    after = model.hidden(Step(ids=changed))
    assert not torch.equal(after[:, window - 1], hidden[:, window - 1])
    assert torch.equal(after[:, window:], hidden[:, window:])  # what is beyond the window is not seen


@pytest.mark.parametrize("cell", ["lstm", "feed-forward"])
def test_an_adaptive_softmax_is_a_distribution_and_its_loss_agrees(cell: str) -> None:
    model = make(cell=cell, softmax="adaptive", cutoffs=(10, 40))
    assert isinstance(model, LabelScorer)
    logits = model(ids())[0]
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(3, 9))
    labels = ids().roll(-1, 1)
    labels[:, -1] = -100
    batch = LabelledBatch(ids(), labels)
    loss = LanguageModelling()(model, batch)["cross_entropy"]
    torch.testing.assert_close(loss, F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum"))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    # By the formula: P(word of a cluster) = P(cluster) P(word | cluster).
    head, hidden = model.head.softmax, model.hidden(Step(ids=ids()))[0, 0]
    first = F.log_softmax(head.head(hidden), -1)
    tail = F.log_softmax(head.tail[1](hidden), -1)
    torch.testing.assert_close(logits[0, 0, 40:], first[11] + tail)


def test_full_softmax_has_no_shorter_way() -> None:
    assert make().label_loss(torch.zeros(1, D), torch.zeros(1, dtype=torch.int64)) is None


@pytest.mark.parametrize("wrong", [{"cutoffs": (40, 10)}, {"cutoffs": (V,)}, {"window": 0}])
def test_options_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="out of range"):
        make(softmax="adaptive", **wrong)
