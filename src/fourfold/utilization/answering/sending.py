"""A model behind a network, and the gate before it: what leaves, to where, at what cost, and with whose consent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

from fourfold.errors import UserError
from fourfold.inference import Endpoint, Generation, Message, Price, Sampling
from fourfold.utilization.answering.prompting import count_texts
from fourfold.utilization.answering.redaction import Redactor

BYTES_A_TOKEN = 3
"""For estimates: tokenizers in use make at least so few tokens of English (four or more bytes each) and of Chinese
(three bytes a character, about one token)."""


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """What is about to leave this machine."""

    host: str
    encrypted: bool
    questions: int
    texts: int
    """Pieces of documents."""
    characters: int
    tokens: int
    """Estimated."""
    cost: float
    """With the longest answer allowed; 0 where no price is known."""
    redacted: bool

    def __str__(self) -> str:
        what = f"{self.questions} question{'s' * (self.questions != 1)} and {self.texts} pieces of your documents"
        size = f"{self.characters:,} characters, about {self.tokens:,} tokens"
        way = "" if self.encrypted else " without encryption"
        price = f", at most {self.cost:.4g} in cost" if self.cost else ""
        return f"to {self.host}{way}: {what} ({size}{price}), {'redacted' if self.redacted else 'as they are'}"


@final
class Gate:
    """An endpoint as a chat model that sends nothing without asking `permit` first and never beyond `max_cost`.

    `permit` raises to refuse; it is asked once, with what the first call or `announce` holds. What is sent is
    redacted if wanted, and the marks in replies are turned back.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        permit: Callable[[Outgoing], None],
        redactor: Redactor | None = None,
        price: Price | None = None,
        max_cost: float = math.inf,
    ) -> None:
        if max_cost < math.inf and price is None:
            raise UserError(
                "a cost cap needs a price", advice="Give the price of a million tokens, as in --price 0.15,0.60."
            )
        self.endpoint = endpoint
        self.name = endpoint.name
        self.price = price or Price()
        self.max_cost = max_cost
        self.spent = 0.0
        self._redactor = redactor
        self._permit: Callable[[Outgoing], None] | None = permit

    @property
    def capabilities(self) -> frozenset[str]:
        return self.endpoint.capabilities

    def announce(self, conversations: Sequence[Sequence[Message]], sampling: Sampling | None = None) -> None:
        """Ask for all of these at once, before the first is sent."""
        if self._permit is not None:
            self._permit(self.outgoing(conversations, sampling))
            self._permit = None

    def outgoing(self, conversations: Sequence[Sequence[Message]], sampling: Sampling | None = None) -> Outgoing:
        """What sending these would mean."""
        contents = [self._hidden(message["content"]) for messages in conversations for message in messages]
        tokens = sum(map(estimated_tokens, contents))
        longest = (sampling or Sampling()).max_tokens * len(conversations)
        return Outgoing(
            host=self.endpoint.host,
            encrypted=self.endpoint.base_url.startswith("https:") or self.endpoint.is_local,
            questions=len(conversations),
            texts=sum(map(count_texts, conversations)),
            characters=sum(map(len, contents)),
            tokens=tokens,
            cost=self.price.of(tokens, longest),
            redacted=self._redactor is not None,
        )

    def chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Generation:
        """One exchange; UserError before anything is sent if it could cost more than is left."""
        planned = self.outgoing([messages], sampling)
        if self.spent + planned.cost > self.max_cost:
            raise UserError(
                "the cost cap is reached",
                expected=f"at most {self.max_cost:.4g}",
                got=f"{self.spent:.4g} spent and up to {planned.cost:.4g} for the next answer",
                advice="Raise --max-cost, or lower --max-tokens.",
            )
        self.announce([messages], sampling)
        hidden: list[Message] = [{**message, "content": self._hidden(message["content"])} for message in messages]
        reply = self.endpoint.chat(hidden, sampling)
        answer_tokens = reply.answer_tokens or estimated_tokens(reply.text)
        self.spent += self.price.of(reply.prompt_tokens or planned.tokens, answer_tokens)
        return replace(reply, text=self._redactor.restore(reply.text) if self._redactor else reply.text)

    def chat_batch(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling | None = None
    ) -> list[Generation]:
        """One after the other, so that the cost of each is known before the next."""
        self.announce(conversations, sampling)
        return [self.chat(messages, sampling) for messages in conversations]

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Generation]:
        return self.chat_batch([[{"role": "user", "content": prompt}] for prompt in prompts], sampling)

    def _hidden(self, text: str) -> str:
        return self._redactor.redact(text) if self._redactor else text


def estimated_tokens(text: str) -> int:
    """At least as many as tokenizers in use make of ordinary English or Chinese."""
    return math.ceil(len(text.encode()) / BYTES_A_TOKEN) + 4
