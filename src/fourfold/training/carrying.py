"""Truncated back-propagation through time: rows that go on where they ended a step before, with their memory.

Letters: B rows, T tokens, D hidden size.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from fourfold.models import RecurrentLM, State, Step
from fourfold.models.recurrent import RecurrentState


@final
class Carried(nn.Module):
    """A recurrent model that begins each training step with the memory its rows had after the last one.

    The memory is passed on without its gradient, which so reaches back T tokens while the model remembers all
    (Williams & Peng 1990; Mikolov et al. 2010). It is kept in buffers, hence in checkpoints: a training that was
    stopped goes on bit by bit. The model inside stays without memory of its own; evaluate and save that one.
    """

    def __init__(self, model: RecurrentLM, rows: int) -> None:
        super().__init__()
        self.model = model
        memory = model.new_state(rows, 0).memory
        self.parts = len(memory)
        for number, part in enumerate(memory):
            self.register_buffer(f"memory{number}", part.detach().clone())

    @property
    def memory(self) -> tuple[Tensor, ...]:
        return tuple(self.get_buffer(f"memory{number}") for number in range(self.parts))

    @property
    def vocabulary_size(self) -> int:
        return self.model.vocabulary_size

    @property
    def context(self) -> int | None:
        return None

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        found: tuple[Tensor, State] = self.model(ids, state)
        return found

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        """(B, T, D); without a state of the caller's, the carried one is gone on with and kept."""
        if state is not None or not self.training:
            return self.model.hidden(step, state)
        carried = RecurrentState(tuple(part.clone() for part in self.memory), step.ids.new_zeros(len(step.ids)))
        hidden = self.model.hidden(step, carried)
        for kept, new in zip(self.memory, carried.memory, strict=True):
            kept.copy_(new.detach())
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        return self.model.logits(hidden)

    def label_loss(self, hidden: Tensor, labels: Tensor) -> Tensor | None:
        return self.model.label_loss(hidden, labels)

    def new_state(self, rows: int, capacity: int) -> State:
        return self.model.new_state(rows, capacity)
