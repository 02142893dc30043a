"""What a language model promises: one step, one state handle, three protocols.

Frozen before the first model was written (design.md §4):

* one call takes a `Step` and the caller's `State` and returns *hidden states*;
  `logits` is separate, so that a fused loss or an engine never holds full logits;
* state is a handle the caller owns, never kept on a model.

Letters: B rows of the batch, T tokens of a row, D hidden size, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, final, runtime_checkable

import torch
from torch import Tensor


class Routing(NamedTuple):
    """Where a layer with experts sent its tokens."""

    logits: Tensor
    """(N, experts) of the router, fp32."""
    chosen: Tensor
    """(N, active) numbers of the experts."""


@final
class Trace:
    """What a call shall record beside its result, a list a wish; None: not wanted.

    No dataclass: torch's sharding looks for tensors in those, and hands a layer a copy that nobody reads.
    """

    def __init__(
        self,
        *,
        hidden: list[Tensor] | None = None,
        attention: list[Tensor] | None = None,
        routing: list[Routing] | None = None,
    ) -> None:
        self.hidden = hidden
        """(B, T, D) the embeddings, then the stream after each layer."""
        self.attention = attention
        """(B, H, T, S) the weights of each self-attention."""
        self.routing: list[Routing] = [] if routing is None else routing
        """One entry a layer with experts, always recorded."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """The input of one model call. Rows may be ragged and may continue a state.

    Row b holds `lengths[b]` tokens, the rest of the row is padding on the right.
    Without `positions`, row b continues at the length its state has (0 without a
    state); with `documents`, positions restart with every document.
    """

    ids: Tensor
    """(B, T) token ids."""
    lengths: Tensor | None = None
    """(B,) real tokens of each row; None: all T."""
    positions: Tensor | None = None
    """(B, T) position of each token; None: counted as said above."""
    documents: Tensor | None = None
    """(B, T) document number of each token in a packed row; tokens see only their own document."""
    prefix: Tensor | None = None
    """(B, T) True on the tokens that all tokens of their document see (prefix decoders)."""
    segments: Tensor | None = None
    """(B, T) kind of segment of each token (BERT); None: all 0."""
    source: Tensor | None = None
    """(B, S) ids an encoder-decoder reads; a state that was started with a source needs none."""
    source_lengths: Tensor | None = None
    """(B,) real tokens of each source; None: all S."""
    trace: Trace | None = None
    """Lists to fill on the way."""
    adapters: int | Tensor | None = None
    """Which low-rank deltas act: None all, an int the first so many, (B, deltas) a gate a row."""


class State(Protocol):
    """What a model remembers of B rows; owned by the caller, changed by the model's calls."""

    @property
    def lengths(self) -> Tensor:
        """(B,) tokens seen by each row."""

    def fork(self, rows: Tensor) -> Self:
        """A new state whose row i continues row `rows[i]` of this one; the two then live apart."""

    def truncate(self, lengths: Tensor) -> None:
        """Forget what came after the first `lengths[b]` tokens of each row."""

    def free(self) -> None:
        """Give the memory back; the handle may not be used again."""


@runtime_checkable
class JoinableState(State, Protocol):
    """A state whose rows can be put beside those of others."""

    def join(self, others: Sequence[Self]) -> Self:
        """A new state of these rows and then theirs; all live apart."""


@runtime_checkable
class CausalLM(Protocol):
    """A model of the next token: n-gram, recurrent, decoder, prefix decoder, decoder side.

    `context` is the longest row it was made for, or None when any length will do.
    """

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def context(self) -> int | None: ...

    def __call__(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Short form: (B, T) ids to (B, T, V) logits and the state after them."""

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        """(B, T, D) hidden states; a given state is advanced in place by `lengths`."""

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) hidden states to (..., V) logits; a softmax of them is the model's distribution."""

    def new_state(self, rows: int, capacity: int) -> State:
        """An empty state for so many rows of at most `capacity` tokens."""


@runtime_checkable
class DirectScorer(Protocol):
    """A causal model that can look up the probability of given tokens faster than by logits."""

    def target_log_probs(self, step: Step, targets: Tensor, state: State | None = None) -> Tensor:
        """(B, T) natural logarithms of P(targets[b, t] | what came before, ids[b, :t+1])."""


@runtime_checkable
class LabelScorer(Protocol):
    """A causal model that may know a shorter way to the loss than the logits of the whole vocabulary."""

    def label_loss(self, hidden: Tensor, labels: Tensor) -> Tensor | None:
        """Sum of -ln P(label) over (N, D) hidden states and (N,) labels; None: no shorter way."""


@runtime_checkable
class Encoder(Protocol):
    """A model of text in both directions: ELMo, BERT, an encoder side."""

    def encode(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """(B, T) ids and (B, T) mask of real tokens to one (B, T, D) tensor a layer."""


@runtime_checkable
class WordVectors(Protocol):
    """One vector a word."""

    def vector(self, word: str) -> Tensor: ...

    def nearest(self, word: str, k: int = 10) -> list[tuple[str, float]]: ...


def positions_of(step: Step, start: Tensor | None) -> Tensor:
    """(B, T) positions of a step whose rows continue after `start` (B,) tokens."""
    if step.positions is not None:
        return step.positions
    rows, length = step.ids.shape
    counted = torch.arange(length, device=step.ids.device).expand(rows, length)
    if step.documents is not None:
        fresh = torch.ones_like(step.documents, dtype=torch.bool)
        fresh[:, 1:] = step.documents[:, 1:] != step.documents[:, :-1]
        return counted - torch.where(fresh, counted, 0).cummax(dim=1).values
    return counted if start is None else counted + start[:, None]
