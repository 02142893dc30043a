"""What goes into a model call and what comes out: plain values, no tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, NotRequired, Protocol, TypedDict, runtime_checkable

from fourfold.errors import UserError
from fourfold.inference.choices import Beam, BestOf, Constraint, Contrastive, Strategy

MOST_BIAS = 100
RANGES: dict[str, tuple[float, float]] = {
    "max_tokens": (1, math.inf),
    "temperature": (0, math.inf),
    "top_k": (1, math.inf),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (0, 1),
    "repetition_penalty": (0.01, 100),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "n": (1, 128),
    "top_alternatives": (0, 100),
}
"""Of the sampling options; those of the penalties are OpenAI's."""
CHOSEN_BY_FILES = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty")
"""What `generation_config.json` may say of a model's own way, under the names it has there."""


class Message(TypedDict):
    """One turn of a conversation, in the layout of the OpenAI API."""

    role: str
    content: str
    name: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to choose tokens. Temperature 0 is greedy; None takes the model's own default, else 1.

    Penalties and biases come first, then what a constraint allows, then temperature, top-k, top-p, min-p, typical.
    """

    max_tokens: int = 256
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float = 1.0
    """Above 1, tokens of the prompt and the answer become less probable."""
    presence_penalty: float = 0.0
    """Taken once from the logit of every token of the answer, as OpenAI's API does."""
    frequency_penalty: float = 0.0
    """Taken from the logit of a token for each time it stands in the answer, as OpenAI's API does."""
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    """What is added to the logits of some ids."""
    stop: Sequence[str] = ()
    seed: int | None = None
    n: int = 1
    """Answers a prompt; those after the first are the `others` of its `Generation`, by the seeds that follow."""
    top_alternatives: int = 0
    """So many of the most probable ids are told beside each token."""
    constraint: Constraint | None = None
    """The form the answer must have."""
    strategy: Strategy | None = None
    """A search other than token by token."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        object.__setattr__(self, "logit_bias", dict(self.logit_bias))
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"sampling option {name} is out of range", expected=f"{low} to {high}", got=value)
        for id, bias in self.logit_bias.items():
            if id < 0 or not abs(bias) <= MOST_BIAS:
                raise UserError(
                    "sampling option logit_bias is out of range",
                    expected=f"ids from 0, numbers from -{MOST_BIAS} to {MOST_BIAS}", got=f"{id}: {bias}",
                )  # fmt: skip
        if self.strategy is not None:
            self.strategy.check(self)

    def filled_by(self, own: Sampling) -> Sampling:
        """With a model's own way in all it leaves neutral, where it leaves the temperature open."""
        if self.temperature is not None:
            return self
        neutral = Sampling()
        draws = not isinstance(self.strategy, Beam | Contrastive)
        open = [name for name in CHOSEN_BY_FILES if draws and getattr(self, name) == getattr(neutral, name)]
        filled = {name: getattr(own, name) for name in open}
        return replace(self, **{**filled, "temperature": 1.0 if own.temperature is None else own.temperature})

    @property
    def samples(self) -> int:
        """Answers that are sampled for a prompt, more than are given where only the best are."""
        return self.strategy.count if isinstance(self.strategy, BestOf) else self.n

    @property
    def changes_logits(self) -> bool:
        """Whether what a request has seen, or a bias, changes its logits."""
        penalties = self.presence_penalty, self.frequency_penalty
        return self.repetition_penalty != 1 or any(penalties) or bool(self.logit_bias)


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
    alternatives: list[list[tuple[int, float]]] = field(default_factory=list)
    """For each id, the most probable ids with their log-probabilities, where they were asked for."""
    others: list[Generation] = field(default_factory=list)
    """Further answers to the same prompt, where `n` is above 1."""


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
