"""How an endpoint is asked, and what that has used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fourfold.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Price:
    """Of a million tokens, in any one currency."""

    prompt: float = 0.0
    answer: float = 0.0

    def of(self, prompt_tokens: int, answer_tokens: int) -> float:
        return (self.prompt * prompt_tokens + self.answer * answer_tokens) / 1e6


@dataclass(frozen=True, kw_only=True)
class EndpointOptions:
    """Limits and habits of one endpoint's client."""

    key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key."""
    timeout: float = 120.0
    """Seconds without an answer."""
    retries: int = 4
    """After a refusal that may pass: 408, 429, 5xx, no connection."""
    first_wait: float = 0.5
    """Seconds before the first retry; doubled for each next, drawn between half and all of it."""
    longest_wait: float = 60.0
    """Seconds a Retry-After may ask for; if it asks for more, the error is told instead."""
    concurrency: int = 4
    """Requests under way at once."""
    requests_per_minute: float = math.inf
    tokens_per_minute: float = math.inf
    """Of prompts and answers together."""
    price: Price = Price()
    """For `usage.cost`."""
    cache: Path | None = None
    """A folder of answers: a request that was answered before is not sent again, drawn at random or not."""

    def __post_init__(self) -> None:
        for name in ("timeout", "longest_wait", "concurrency", "requests_per_minute", "tokens_per_minute"):
            if not getattr(self, name) > 0:
                raise UserError(f"endpoint option {name} is out of range", expected="above 0", got=getattr(self, name))
        if self.retries < 0 or self.first_wait < 0:
            raise UserError("endpoint options retries and first_wait are out of range", expected="0 or more")


class Usage(NamedTuple):
    """What an endpoint has been asked since it was made."""

    requests: int
    """Answered; not those from the cache."""
    retries: int
    cached: int
    """Requests answered from disk."""
    prompt_tokens: int
    answer_tokens: int
    cost: float
    """By the price that was given."""
