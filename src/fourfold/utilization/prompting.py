"""Asking directly, and asking after worked examples (in-context learning, Brown et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fourfold.inference import ChatModel, Message, Sampling
from fourfold.utilization.conversation import Conversation, Solver, chain


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """A question with its answer, and how one gets there."""

    question: str
    answer: str
    reasoning: str = ""


def ask(model: ChatModel, sampling: Sampling | None = None) -> Solver:
    """One turn of the model for every conversation, as one batch."""
    sampling = sampling or Sampling(temperature=0)

    def solve(batch: Sequence[Conversation]) -> list[Conversation]:
        if not batch:
            return []
        replies = model.chat_batch([conversation.messages for conversation in batch], sampling)
        return [conversation.answered(reply.text) for conversation, reply in zip(batch, replies, strict=True)]

    return solve


def demonstrate(demonstrations: Sequence[Demonstration], *, with_reasoning: bool = False) -> Solver:
    """Put the demonstrations before the last question, as turns of the conversation.

    With reasoning, a demonstration's answer is "<reasoning> The answer is <answer>." as in
    Wei et al. 2022, appendix G.
    """
    turns: list[Message] = []
    for shown in demonstrations:
        worked = with_reasoning and shown.reasoning
        answer = f"{shown.reasoning} The answer is {shown.answer}." if worked else shown.answer
        turns += [{"role": "user", "content": shown.question}, {"role": "assistant", "content": answer}]

    def solve(batch: Sequence[Conversation]) -> list[Conversation]:
        return [replace(c, messages=(*c.messages[:-1], *turns, *c.messages[-1:])) for c in batch]

    return solve


def zero_shot(model: ChatModel, sampling: Sampling | None = None) -> Solver:
    """The question alone."""
    return ask(model, sampling)


def few_shot(model: ChatModel, demonstrations: Sequence[Demonstration], sampling: Sampling | None = None) -> Solver:
    """The question after demonstrations with plain answers."""
    return chain([demonstrate(demonstrations), ask(model, sampling)])


def few_shot_chain_of_thought(
    model: ChatModel, demonstrations: Sequence[Demonstration], sampling: Sampling | None = None
) -> Solver:
    """The question after demonstrations that show their reasoning (Wei et al. 2022)."""
    return chain([demonstrate(demonstrations, with_reasoning=True), ask(model, sampling)])
