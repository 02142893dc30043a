"""Answers while they are made: tokens from the engine, text that may be shown, and the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

from fourfold.inference.engine import Running, Token
from fourfold.inference.results import Generation, Sampling
from fourfold.inference.stopping import StopText
from fourfold.inference.strategies import best_first


@final
class Answer:
    """One answer to a prompt of so many tokens."""

    def __init__(self, prompt_tokens: int, running: Running, text: StopText) -> None:
        self.prompt_tokens = prompt_tokens
        self.running = running
        self.text = text
        self.tokens: list[Token] = []
        self.end: Token | None = None

    def finish(self) -> None:
        """Take what is still to come."""
        for token in self.running:
            self.take(token)

    def take(self, token: Token) -> str:
        """The text that is certain now. Behind a stop string nothing is taken, and the engine is told to stop."""
        if token.id is None:
            self.end = token
            return ""
        if self.text.stopped:
            return ""
        self.tokens.append(token)
        piece = self.text.push(token.id)
        if self.text.stopped:
            self.running.cancel()
        return piece

    def result(self) -> Generation:
        self.text.finish()
        too_long = not self.text.stopped and self.end is not None and self.end.finish_reason == "length"
        asked = self.running.request.top_alternatives > 0
        return Generation(
            text=self.text.text,
            ids=[token.id for token in self.tokens if token.id is not None],
            log_probs=[token.log_prob for token in self.tokens],
            finish_reason="length" if too_long else "stop",
            prompt_tokens=self.prompt_tokens,
            batch_invariant=self.running.batch_invariant,
            alternatives=[list(token.alternatives) for token in self.tokens] if asked else [],
        )


def finish(answers: Sequence[Answer]) -> None:
    """Take what is still to come of all answers to a prompt."""
    for answer in answers:
        answer.finish()


def generation(answers: Sequence[Answer], sampling: Sampling) -> Generation:
    """All wanted answers to a prompt: the first, and the others with it."""
    results = [answer.result() for answer in answers]
    if sampling.samples > sampling.n:
        results = best_first(results, sampling.n)
    return replace(results[0], others=results[1:])
