"""The n-gram model as a `CausalLM`: its hidden state is the node of the longest context it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fourfold.errors import UserError
from fourfold.kernels import Integers, Trie, dense_rows, walk, walk_scored
from fourfold.models.protocols import State, Step


@dataclass(frozen=True, kw_only=True)
class NGramConfig:
    """What is known of the model besides its arrays."""

    order: int
    vocabulary_size: int
    smoothing: str
    bos_id: int | None = None
    eos_id: int | None = None
    ngrams: tuple[int, ...] = ()
    """Stored n-grams of each order."""
    discounts: tuple[tuple[float, ...], ...] = ()
    weights: tuple[tuple[float, ...], ...] = ()
    """Of interpolation, by order and bucket of contexts, where the method has them."""

    @property
    def normalised(self) -> bool:
        """Whether its scores are probabilities, which sum to one."""
        return self.smoothing.partition(":")[0] != "stupid-back-off"


class NGramState:
    """The context node of each row after every token, so that any earlier point can be returned to."""

    def __init__(self, rows: int, capacity: int) -> None:
        self._lengths = np.zeros(rows, np.int64)
        self._history = np.zeros((rows, max(capacity, 1) + 1), np.int32)

    @property
    def lengths(self) -> Tensor:
        return torch.from_numpy(self._lengths.copy())

    @property
    def nodes(self) -> Integers:
        """(B,) the context each row is in."""
        return self._history[np.arange(len(self._lengths)), self._lengths].astype(np.int64)

    def append(self, nodes: Integers, lengths: Integers) -> None:
        """Take in (B, T) context nodes, of which the first `lengths[b]` count."""
        needed = int((self._lengths + lengths).max(initial=0)) + 1
        if needed > self._history.shape[1]:
            self._history = np.pad(self._history, ((0, 0), (0, max(needed, 2 * self._history.shape[1]))))
        rows, columns = np.nonzero(np.arange(nodes.shape[1]) < lengths[:, None])
        self._history[rows, self._lengths[rows] + 1 + columns] = nodes[rows, columns]
        self._lengths += lengths

    def fork(self, rows: Tensor) -> Self:
        other = type(self)(0, 0)
        index = rows.cpu().numpy()
        other._lengths, other._history = self._lengths[index].copy(), self._history[index].copy()
        return other

    def join(self, others: Sequence[Self]) -> Self:
        states, other = (self, *others), type(self)(0, 0)
        wide = max(state._history.shape[1] for state in states)
        parts = [np.pad(state._history, ((0, 0), (0, wide - state._history.shape[1]))) for state in states]
        other._lengths, other._history = np.concatenate([s._lengths for s in states]), np.concatenate(parts)
        return other

    def truncate(self, lengths: Tensor) -> None:
        wanted = lengths.cpu().numpy().astype(np.int64)
        if (wanted > self._lengths).any() or (wanted < 0).any():
            raise ValueError(f"truncate to at most {self._lengths.tolist()} tokens, got {wanted.tolist()}")
        self._lengths = wanted.copy()

    def free(self) -> None:
        self._lengths, self._history = np.zeros(0, np.int64), np.zeros((0, 1), np.int32)


class NGramLM(nn.Module):
    """An n-gram model over any tokenizer's ids; `CausalLM` and `DirectScorer`.

    Before the first token nothing is known, so a text is scored from its document-start id as the model was
    trained. It has no parameters; its arrays are numpy arrays that may be mapped from a file, and they stay on
    the CPU in their own precision whatever `.to` says.
    """

    context: int | None = None

    def __init__(self, config: NGramConfig, trie: Trie) -> None:
        super().__init__()
        self.config = config
        self.trie = trie

    @property
    def vocabulary_size(self) -> int:
        return self.config.vocabulary_size

    @property
    def order(self) -> int:
        return self.config.order

    @property
    def numbers(self) -> int:
        """Probabilities and back-off weights it stores: what it has in place of parameters."""
        return len(self.trie.log_prob) + len(self.trie.back_off)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = state if state is not None else self.new_state(*ids.shape)
        return self.logits(self.hidden(Step(ids=ids), state)), state

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        """(B, T, 1) context nodes as integers; `logits` reads them."""
        ids, lengths, start = self._inputs(step, state)
        nodes = walk(self.trie, ids, lengths, _fresh(step), start)
        _advance(state, nodes, lengths)
        return torch.from_numpy(nodes).to(step.ids.device)[..., None]

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., 1) context nodes to (..., V) natural log-probabilities."""
        nodes = hidden[..., 0].cpu().numpy().astype(np.int64)
        rows = dense_rows(self.trie, nodes.reshape(-1), self.vocabulary_size)
        return torch.from_numpy(rows.reshape(*nodes.shape, self.vocabulary_size)).to(hidden.device)

    def new_state(self, rows: int, capacity: int) -> NGramState:
        return NGramState(rows, capacity)

    def target_log_probs(self, step: Step, targets: Tensor, state: State | None = None) -> Tensor:
        """(B, T) log P(target); 0 on the padding and for negative targets, the ignored labels."""
        wanted = _integers(targets)
        if wanted.max(initial=0) >= self.vocabulary_size:
            raise self._out_of_range(int(wanted.max()))
        ids, lengths, start = self._inputs(step, state)
        nodes, scores = walk_scored(self.trie, ids, wanted, lengths, _fresh(step), start)
        _advance(state, nodes, lengths)
        return torch.from_numpy(scores).to(step.ids.device)

    def _inputs(self, step: Step, state: State | None) -> tuple[Integers, Integers, Integers]:
        """Checked ids, the lengths of the rows, and the nodes they start from."""
        ids, lengths = _integers(step.ids), self._lengths(step)
        if ids.min(initial=0) < 0 or ids.max(initial=0) >= self.vocabulary_size:
            wrong = ((ids < 0) | (ids >= self.vocabulary_size)) & (np.arange(ids.shape[1]) < lengths[:, None])
            if wrong.any():
                raise self._out_of_range(int(ids[wrong][0]))
        start = np.zeros(len(ids), np.int64) if state is None else cast(NGramState, state).nodes
        return ids, lengths, start

    def _lengths(self, step: Step) -> Integers:
        if step.lengths is None:
            return np.full(step.ids.shape[0], step.ids.shape[1], np.int64)
        return _integers(step.lengths)

    def _out_of_range(self, token: int) -> UserError:
        advice = "Is this the tokenizer the n-gram model was trained with?"
        return UserError("token id out of range", expected=f"0 to {self.vocabulary_size - 1}", got=token, advice=advice)


def _advance(state: State | None, nodes: Integers, lengths: Integers) -> None:
    if state is not None:
        cast(NGramState, state).append(nodes, lengths)


def _integers(tensor: Tensor) -> Integers:
    return np.ascontiguousarray(tensor.cpu().numpy(), dtype=np.int64)


def _fresh(step: Step) -> NDArray[np.bool_]:
    """True where a new document begins inside a packed row."""
    fresh = np.zeros(tuple(step.ids.shape), np.bool_)
    if step.documents is not None:
        documents = step.documents.cpu().numpy()
        fresh[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return fresh
