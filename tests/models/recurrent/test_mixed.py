"""The bf16 LSTM against torch's own in fp32: outputs, memories and every gradient to bf16's precision."""

from __future__ import annotations

import torch
from torch import nn

from fourfold.models import RecurrentConfig, RecurrentLM, Step
from fourfold.models.recurrent.mixed import mixed_lstm


def run(mixed: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    cells = nn.LSTM(24, 24, 2, batch_first=True)
    x = torch.randn(3, 7, 24, requires_grad=True)
    memory = tuple(torch.randn(2, 3, 24, requires_grad=True) for _ in range(2))
    output, ends = mixed_lstm(cells, x, memory) if mixed else cells(x, memory)
    mark = torch.randn(3, 7, 24)
    loss = (output.float() * mark).sum() + (ends[0] * mark[:2, :3].transpose(0, 1)[:2].sum()).sum() + ends[1].sum()
    loss.backward()
    found = [output.float(), *ends, x.grad, *(part.grad for part in memory), *(p.grad for p in cells.parameters())]
    return [tensor.detach() for tensor in found]


def test_outputs_memories_and_gradients_are_torchs() -> None:
    for mine, theirs in zip(run(True), run(False), strict=True):
        assert mine.shape == theirs.shape
        assert float((mine - theirs).norm() / theirs.norm()) < 0.01


def test_autocast_takes_it_and_nothing_else_does() -> None:
    model = RecurrentLM(RecurrentConfig(vocabulary_size=30, hidden_size=16, layers=2))
    model.initialise(torch.Generator().manual_seed(1))
    ids = torch.randint(30, (2, 9), generator=torch.Generator().manual_seed(2))
    plain = model.hidden(Step(ids=ids))
    state = model.new_state(2, 16)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.hidden(Step(ids=ids[:, :4]), state), model.hidden(Step(ids=ids[:, 4:]), state)
        with torch.no_grad():
            scored = model.hidden(Step(ids=ids))
    assert "_MixedLayer" in str(mixed[0].grad_fn.next_functions) + type(mixed[0].grad_fn).__name__
    found = torch.cat(mixed, 1).float()
    assert float((found - plain).detach().norm() / plain.detach().norm()) < 0.01
    assert float((scored.float() - plain).detach().norm() / plain.detach().norm()) < 0.01
    assert state.memory[0].dtype == torch.float32
