"""LSTM, GRU, Elman and feed-forward language models behind the same protocol as the transformer.

The recurrent cells are `torch.nn`'s; ours are the state handle, ragged rows and packed documents.
Letters: B rows, T tokens, D hidden size, L layers, V vocabulary size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fourfold.errors import FourfoldError
from fourfold.models.linear import Linear
from fourfold.models.protocols import State, Step
from fourfold.models.recurrent.adaptive import AdaptiveHead
from fourfold.models.recurrent.config import RecurrentConfig
from fourfold.models.recurrent.mixed import mixed_lstm, products_in_bf16
from fourfold.models.recurrent.window import WindowCell

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}


class RecurrentState:
    """The memory of B rows, with a snapshot at the end of each call.

    (L, B, D) tensors, two for an LSTM; of a window the embeddings in it instead of layers.
    """

    def __init__(self, memory: tuple[Tensor, ...], lengths: Tensor) -> None:
        self.memory = memory
        self._lengths = lengths
        self.snapshots: list[tuple[Tensor, tuple[Tensor, ...]]] = [(lengths, memory)]

    @property
    def lengths(self) -> Tensor:
        return self._lengths

    def advance(self, memory: tuple[Tensor, ...], lengths: Tensor) -> None:
        self.memory = memory
        self._lengths = self._lengths + lengths
        self.snapshots = [*self.snapshots[-1:], (self._lengths, memory)]

    def fork(self, rows: Tensor) -> Self:
        return type(self)(tuple(m[:, rows] for m in self.memory), self._lengths[rows])

    def join(self, others: Sequence[Self]) -> Self:
        states = (self, *others)
        memory = tuple(torch.cat(parts, dim=1) for parts in zip(*(s.memory for s in states), strict=True))
        return type(self)(memory, torch.cat([s.lengths for s in states]))

    def truncate(self, lengths: Tensor) -> None:
        """Go back to the state before the last call; other lengths cannot be recovered."""
        for known, memory in reversed(self.snapshots):
            if torch.equal(known, torch.minimum(self._lengths, lengths.to(known))):
                self.memory, self._lengths = memory, known
                return
        raise FourfoldError("a recurrent state can only go back to the end of its last call or the one before")

    def free(self) -> None:
        self.memory, self.snapshots = (), []


class RecurrentLM(nn.Module):
    """Embedding, layers, softmax (Mikolov et al. 2010; LSTM: Sundermeyer et al. 2012; window: Bengio et al. 2003)."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.embedding = nn.Embedding(config.vocabulary_size, size)
        dropout = config.dropout if config.layers > 1 else 0.0
        self.cells: nn.RNNBase | WindowCell
        if config.cell == "feed-forward":
            self.cells = WindowCell(size, config.layers, config.window, dropout)
        else:
            self.cells = CELLS[config.cell](size, size, config.layers, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.head = _make_head(config)

    @property
    def vocabulary_size(self) -> int:
        return self.config.vocabulary_size

    @property
    def context(self) -> int | None:
        return None

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if state is None:
            state = self.new_state(ids.shape[0], 0)
        return self.logits(self.hidden(Step(ids=ids), state)), state

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        assert state is None or isinstance(state, RecurrentState)
        if step.documents is not None:
            return self._packed_documents(step, step.documents)
        x = self.dropout(self.embedding(step.ids))
        output, memory = self._run(x, step.lengths, None if state is None else state.memory)
        if state is not None:
            length = torch.full_like(state.lengths, step.ids.shape[1])
            state.advance(memory, length if step.lengths is None else step.lengths)
        dropped: Tensor = self.dropout(output)
        return dropped

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = F.linear(hidden, self.embedding.weight) if self.head is None else self.head(hidden)
        return logits

    def label_loss(self, hidden: Tensor, labels: Tensor) -> Tensor | None:
        """Sum of -ln P(label) over (N, D) states where the head has a shorter way than all logits, else None."""
        return self.head.label_loss(hidden, labels) if isinstance(self.head, AdaptiveHead) else None

    def new_state(self, rows: int, capacity: int) -> RecurrentState:
        weight, config = self.embedding.weight, self.config
        kept = config.window - 1 if config.cell == "feed-forward" else config.layers
        empty = weight.new_zeros(kept, rows, config.hidden_size)
        memory = (empty, empty.clone()) if self.config.cell == "lstm" else (empty,)
        return RecurrentState(memory, torch.zeros(rows, dtype=torch.int64, device=weight.device))

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform in +-1/sqrt(D) as `torch.nn` does for its cells; embeddings normal with deviation 1/sqrt(D);
        the forget gates of an LSTM start open, at bias 1 (Jozefowicz et al. 2015, section 5)."""
        size = self.config.hidden_size
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(size), 1 / math.sqrt(size), generator=generator)
        nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(size), generator=generator)
        if self.config.cell == "lstm":
            for name, parameter in self.cells.named_parameters():
                if name.startswith("bias_ih"):
                    nn.init.ones_(parameter.data[size : 2 * size])

    def _run(
        self, x: Tensor, lengths: Tensor | None, memory: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, T, D) outputs and the memory after each row's last real token."""
        if isinstance(self.cells, WindowCell):
            found: tuple[Tensor, tuple[Tensor, ...]] = self.cells(x, lengths, None if memory is None else memory[0])
            return found
        if lengths is None and self.config.cell == "lstm" and torch.is_grad_enabled() and products_in_bf16(x):
            assert isinstance(self.cells, nn.LSTM)
            return mixed_lstm(self.cells, x, memory)
        start = None if memory is None else (memory if self.config.cell == "lstm" else memory[0])
        if lengths is None:
            output, end = self.cells(x, start)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            output, end = self.cells(packed, start)
            output, _ = pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])
        return output, end if self.config.cell == "lstm" else (end,)

    def _packed_documents(self, step: Step, documents: Tensor) -> Tensor:
        """Each document of a packed row starts from an empty memory: run them as rows of their own."""
        rows, length = step.ids.shape
        fresh = torch.ones_like(documents, dtype=torch.bool)
        fresh[:, 1:] = documents[:, 1:] != documents[:, :-1]
        starts = fresh.flatten().nonzero().flatten()
        sizes = torch.diff(starts, append=starts.new_tensor([rows * length]))
        offsets = torch.arange(int(sizes.max()), device=starts.device)
        real = offsets < sizes[:, None]  # (documents, longest)
        source = torch.where(real, starts[:, None] + offsets, 0)
        x = self.dropout(self.embedding(step.ids.flatten()[source]))
        output, _ = self._run(x, sizes, None)
        unpacked: Tensor = self.dropout(output[real]).view(rows, length, -1)
        return unpacked


def _make_head(config: RecurrentConfig) -> Linear | AdaptiveHead | None:
    """None: the embeddings predict too."""
    if config.softmax == "adaptive":
        return AdaptiveHead(config.hidden_size, config.vocabulary_size, config.cluster_starts)
    return None if config.tied else Linear(config.hidden_size, config.vocabulary_size)
