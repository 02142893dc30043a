"""A chat model whose replies are a function of the messages, and which keeps what it was asked."""

from collections.abc import Callable, Sequence

import pytest

from fourfold.inference import Generation, Message, Sampling

DEFAULT = Sampling()


class Replies:
    name = "scripted"

    def __init__(self, reply: Callable[[Sequence[Message], Sampling], str]) -> None:
        self.reply = reply
        self.batches: list[list[Sequence[Message]]] = []
        self.samplings: list[Sampling] = []

    def chat_batch(self, conversations, sampling=DEFAULT):
        self.batches.append(list(conversations))
        self.samplings.append(sampling)
        return [Generation(text=self.reply(messages, sampling)) for messages in conversations]

    def chat(self, messages, sampling=DEFAULT):
        return self.chat_batch([messages], sampling)[0]

    def generate(self, prompts, sampling=DEFAULT):
        return self.chat_batch([[{"role": "user", "content": prompt}] for prompt in prompts], sampling)


@pytest.fixture
def replies():
    return Replies
