"""What the engine is asked, what it answers, and what it may use."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from fourfold.errors import FourfoldError, UserError
from fourfold.inference.results import FinishReason


class Overloaded(FourfoldError):
    """Too many requests wait already; come back later."""


class Chooses(Protocol):
    """What the engine needs of a sampler."""

    def choose(self, logits: Tensor, ids: Sequence[int], /) -> int:
        """An id from (V,) fp32 logits, after an answer of these ids; what it raises ends its own request only."""


class Search(NamedTuple):
    """A way to an answer other than token by token: calls of the model that belong to one request alone."""

    run: Callable[[Request], Generator[Sequence[Token]]]
    """What each call settles, perhaps nothing yet; the last token has no id but the reason of the end."""
    rows: int
    """It holds at most."""
    extra: int = 0
    """Tokens a row may hold beyond the answer."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt and how to continue it."""

    ids: Sequence[int]
    max_tokens: int
    sampler: Chooses
    stop_ids: frozenset[int] = frozenset()
    source: Sequence[int] | None = None
    """What an encoder-decoder reads before it writes; None: an empty source."""
    whole: bool = False
    """The tokens of the prompt see each other (prefix decoders)."""
    adapters: Sequence[float] | None = None
    """A gate a low-rank delta; None: all act."""
    top_alternatives: int = 0
    """So many of the most probable tokens are told beside each chosen one."""
    search: Search | None = None
    """None: token by token, together with all others."""

    def room(self, context: int | None) -> int:
        """Tokens the answer may have in a context of so many; UserError where the prompt leaves none."""
        if not self.ids:
            raise UserError("a request needs a token to begin with", got="no ids")
        if context is None:
            return self.max_tokens
        if len(self.ids) >= context:
            raise UserError(
                "the prompt does not fit the model's context",
                expected=f"fewer than {context} tokens",
                got=len(self.ids),
                advice="Shorten the prompt or the conversation.",
            )
        return min(self.max_tokens, context - len(self.ids))


class Token(NamedTuple):
    """A token of one request, or its end (`id` None, with the reason)."""

    id: int | None
    log_prob: float
    """Natural logarithm, under the unmodified distribution of the model."""
    finish_reason: FinishReason | None = None
    alternatives: tuple[tuple[int, float], ...] = ()
    """(id, log-probability), the most probable first."""


@dataclass(frozen=True, kw_only=True)
class EngineLimits:
    """What one engine may use."""

    rows: int = 32
    """Requests decoded together."""
    tokens: int = 512
    """Tokens of a step, prompts included: what waits for a long prompt waits no longer than this takes."""
    waiting: int = 1024
    """Requests that may wait; the next one is refused."""
    kv_bytes: int | None = None
    """Memory of keys and values; None: one full context or 512 MiB, whichever is more. Searches have as much again."""
    kv_dtype: torch.dtype | None = None
    """Keys and values are kept in this; None: bf16 beside packed weights, else the weights' dtype. `torch.int8` takes
    about half of bf16."""
    share_prefixes: bool = True
    """Prompts that begin alike are read once."""
    batch_invariant: bool = False
    """A request's numbers do not depend on what else is decoded; slower."""


class EngineCounts(NamedTuple):
    """What the engine holds and has done."""

    running: int
    waiting: int
    swapped: int
    """Preempted, to go on later."""
    blocks_used: int
    """Pages that requests read."""
    blocks_free: int
    blocks_cached: int
    """Pages kept for prompts to come; they give way to requests."""
    tokens_read: int
    """Tokens of prompts that went through the model."""
    tokens_written: int
    prefix_hits: int
    """Requests of which a beginning was known."""
    prefix_tokens: int
    """Tokens of prompts that were not read because they were known."""
    preemptions: int
    steps: int
