"""A tiny causal model with attention over documents, and random batches for it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fourfold.models import Linear, State, Step, positions_of
from fourfold.training import IGNORED, LabelledBatch

VOCABULARY = 37


class TinyLM(nn.Module):
    """One attention layer with learned positions; the head is tied to the embedding."""

    def __init__(self, size: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, size)
        self.places = nn.Embedding(64, size)
        self.query = Linear(size, size, bias=True)
        self.value = Linear(size, size)
        self.norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)
        nn.init.ones_(self.norm.weight)
        self.register_buffer("calls", torch.zeros(()))

    vocabulary_size = VOCABULARY
    context = 64

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        assert state is None
        x = self.embedding(step.ids) + self.places(positions_of(step, None))
        length = x.shape[1]
        allowed = torch.ones(length, length, dtype=torch.bool).tril()[None]
        if step.documents is not None:
            allowed = allowed & (step.documents[:, :, None] == step.documents[:, None, :])
        scores = self.query(x, step.adapters) @ x.transpose(1, 2)
        weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1)
        return self.norm(x + self.dropout(weights @ self.value(x, step.adapters)))

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.embedding.weight.T

    def new_state(self, rows: int, capacity: int) -> State:
        raise NotImplementedError

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        raise NotImplementedError


@pytest.fixture
def tiny() -> Callable[..., TinyLM]:
    """Makes tiny models; equal seeds make equal models."""

    def make(seed: int = 0, dropout: float = 0.0) -> TinyLM:
        torch.manual_seed(seed)
        return TinyLM(dropout=dropout)

    return make


@pytest.fixture
def random_batch() -> Callable[..., LabelledBatch]:
    """Makes batches in which a third of the labels is masked."""

    def make(rows: int = 4, length: int = 12, seed: int = 0) -> LabelledBatch:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(VOCABULARY, (rows, length + 1), generator=generator)
        masked = torch.rand((rows, length), generator=generator) < 1 / 3
        return LabelledBatch(ids[:, :-1], ids[:, 1:].masked_fill(masked, IGNORED))

    return make
