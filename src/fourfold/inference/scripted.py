"""A chat model that says what it is told to: the double for tests, ours and the users'."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import final

from fourfold.inference.results import Continuation, Generation, Message, Sampling, TextScore

Reply = Callable[[Sequence[Message]], str]


@final
class ScriptedModel:
    """Answers from a list (repeated when it ends) or by a function of the conversation.

    It scores a text at one bit a byte, and a continuation at minus its length in bytes.
    """

    def __init__(self, replies: Sequence[str] | Reply, *, name: str = "scripted") -> None:
        self.name = name
        self.conversations: list[list[Message]] = []
        """Every conversation it was asked to continue."""
        self._reply = replies if callable(replies) else _from_list(replies)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"generate", "chat", "score", "log_likelihood"})

    def chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Generation:
        self.conversations.append(list(messages))
        text = self._reply(messages)
        ids, log_probs, reason = list(text.encode()), [-1.0] * len(text.encode()), "stop"
        if sampling is not None and len(ids) > sampling.max_tokens:
            ids, log_probs, reason = ids[: sampling.max_tokens], log_probs[: sampling.max_tokens], "length"
            text = bytes(ids).decode(errors="ignore")
        return Generation(
            text=text, ids=ids, log_probs=log_probs, finish_reason="length" if reason == "length" else "stop"
        )

    def chat_batch(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling | None = None
    ) -> list[Generation]:
        return [self.chat(messages, sampling) for messages in conversations]

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Generation]:
        return [self.chat([{"role": "user", "content": prompt}], sampling) for prompt in prompts]

    def stream(self, prompt: str, sampling: Sampling | None = None) -> Iterator[str]:
        yield from self.generate([prompt], sampling)[0].text

    def stream_chat(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Iterator[str]:
        yield from self.chat(messages, sampling).text

    def score(self, texts: Sequence[str]) -> list[TextScore]:
        return [
            TextScore(
                ids=list(text.encode()),
                log_probs=[-0.6931471805599453] * len(text.encode()),
                bytes=len(text.encode()),
                characters=len(text),
            )
            for text in texts
        ]

    def log_likelihood(self, pairs: Sequence[tuple[str, str]]) -> list[Continuation]:
        sizes = [len(continuation.encode()) for _, continuation in pairs]
        return [Continuation(-float(size), False, size) for size in sizes]


def _from_list(replies: Sequence[str]) -> Reply:
    endless = itertools.cycle(replies)
    return lambda messages: next(endless)
