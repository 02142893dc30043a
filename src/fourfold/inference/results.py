"""What goes into a model call and what comes out: plain values, no tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NotRequired, Protocol, TypedDict, runtime_checkable

from fourfold.errors import UserError


class Message(TypedDict):
    """One turn of a conversation, in the layout of the OpenAI API."""

    role: str
    content: str
    name: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to choose tokens. Temperature 0 is greedy; None takes the model's own default, else 1."""

    max_tokens: int = 256
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    stop: Sequence[str] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        ranges = {
            "max_tokens": (self.max_tokens, 1, math.inf),
            "temperature": (self.temperature, 0, math.inf),
            "top_k": (self.top_k, 1, math.inf),
            "top_p": (self.top_p, 0, 1),
            "min_p": (self.min_p, 0, 1),
        }
        for name, (value, low, high) in ranges.items():
            if value is not None and not low <= value <= high:
                raise UserError(f"sampling option {name} is out of range", expected=f"{low} to {high}", got=value)


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """The log-probability a model gives to a whole text, every byte paid for."""

    ids: list[int]
    """The scored token ids; `log_probs` has one entry for each."""
    log_probs: list[float]
    """Natural logarithms."""
    bytes: int
    """UTF-8 bytes of the text."""
    characters: int
    stride: int | None = None
    """New tokens a window, when the text was longer than the context; None: one window."""

    @property
    def total(self) -> float:
        """Nats of the whole text (a negative number)."""
        return math.fsum(self.log_probs)

    @property
    def bits_per_byte(self) -> float:
        return -self.total / (math.log(2) * max(self.bytes, 1))

    @property
    def bits_per_character(self) -> float:
        return -self.total / (math.log(2) * max(self.characters, 1))

    @property
    def perplexity(self) -> float:
        """exp of the mean nats a token; only comparable between models of one tokenizer."""
        return math.exp(-self.total / max(len(self.log_probs), 1))


class Continuation(NamedTuple):
    """The log-likelihood of a continuation after its context."""

    log_prob: float
    """Nats."""
    is_greedy: bool
    """True when every token was the most probable one."""
    tokens: int


FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A continuation, without its prompt and without the stop string or stop token."""

    text: str
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    """Natural log-probability of each id under the unmodified distribution of the model."""
    finish_reason: FinishReason = "stop"
    prompt_tokens: int = 0
    answer_tokens: int = 0
    """As an endpoint counts them, hidden reasoning included; 0 where it does not say, and where `ids` does."""
    batch_invariant: bool = True


@runtime_checkable
class ChatModel(Protocol):
    """What solvers need: own models, endpoints and the scripted double all have it."""

    @property
    def name(self) -> str: ...

    def generate(self, prompts: Sequence[str], sampling: Sampling = ...) -> list[Generation]: ...

    def chat(self, messages: Sequence[Message], sampling: Sampling = ...) -> Generation: ...

    def chat_batch(self, conversations: Sequence[Sequence[Message]], sampling: Sampling = ...) -> list[Generation]: ...


@runtime_checkable
class ScoringModel(Protocol):
    """What likelihood-based evaluation needs."""

    @property
    def name(self) -> str: ...

    def score(self, texts: Sequence[str]) -> list[TextScore]: ...

    def log_likelihood(self, pairs: Sequence[tuple[str, str]]) -> list[Continuation]: ...
