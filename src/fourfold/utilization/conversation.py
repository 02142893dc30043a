"""A conversation on its way through solvers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fourfold.inference import Message


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Messages so far, and the answer as it stands."""

    messages: tuple[Message, ...]
    output: str = ""
    """The answer a scorer reads; "" before a model was asked."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What solvers leave for those after them and for the record: JSON values."""

    def saying(self, role: str, content: str) -> Conversation:
        """This conversation with one more message."""
        return replace(self, messages=(*self.messages, {"role": role, "content": content}))

    def answered(self, text: str) -> Conversation:
        """This conversation with the model's turn, which becomes the output."""
        return replace(self.saying("assistant", text), output=text.strip())

    def noting(self, **values: Any) -> Conversation:
        """This conversation with more in its meta."""
        return replace(self, meta={**self.meta, **values})

    @property
    def question(self) -> str:
        """What the user said last."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "user"), "")


Solver = Callable[[Sequence[Conversation]], list[Conversation]]
"""Takes a batch, gives the same conversations further on, in the same order."""


def conversations_of(questions: Iterable[str]) -> list[Conversation]:
    """One new conversation a question."""
    return [Conversation(messages=({"role": "user", "content": question},)) for question in questions]


def chain(solvers: Sequence[Solver]) -> Solver:
    """The solvers one after another."""

    def solve(batch: Sequence[Conversation]) -> list[Conversation]:
        conversations = list(batch)
        for solver in solvers:
            conversations = solver(conversations)
        return conversations

    return solve
