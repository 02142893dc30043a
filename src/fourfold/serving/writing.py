"""From what a client asks to pieces of answers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fourfold.inference import Request, Sampling, StopText, Token
from fourfold.serving.errors import ApiError
from fourfold.serving.loaded import Loaded, Voice
from fourfold.serving.service import Service
from fourfold.tokenizers import TextStream, Tokenizer


class Piece(NamedTuple):
    """What one answer has gained: text that is certain, the tokens it came with, and at the end the reason."""

    text: str
    tokens: list[Token]
    finish_reason: str | None


@dataclass(kw_only=True)
class Work:
    """The answers one request of a client asks for."""

    voice: Voice
    requests: list[Request]
    stop: Sequence[str]
    prompt_tokens: int
    """Of each prompt once."""
    each: int = 1
    """Answers written for a prompt."""
    kept: int = 1
    """Of these, the answers that are given."""
    show_control: bool = False
    """Control tokens are part of the text (a template that marks tool calls with one)."""
    written: int = 0
    """Tokens so far."""
    reasons: list[str] = field(default_factory=list)
    log_probs: dict[int, list[float]] = field(default_factory=dict)
    """Of the tokens of each answer."""
    started: float = field(default_factory=time.monotonic)

    def given(self) -> list[int]:
        """Numbers of the answers that are given: of each prompt the best, which are those of highest mean."""
        if self.kept == self.each:
            return list(range(len(self.requests)))
        groups = [range(at, at + self.each) for at in range(0, len(self.requests), self.each)]
        return [number for group in groups for number in sorted(group, key=self._mean, reverse=True)[: self.kept]]

    def _mean(self, number: int) -> float:
        found = self.log_probs.get(number, [])
        return sum(found) / max(len(found), 1)


def plan(
    loaded: Loaded, voice: Voice, prompts: Sequence[list[int]], sampling: Sampling, each: int, kept: int | None = None
) -> Work:
    """`each` answers to every prompt, of which the best `kept` are given.

    A seed gives the first its own text, and the others theirs.
    """
    read = [loaded.prompt(ids) for ids in prompts]
    requests = [loaded.request(voice, prompt, _seeded(sampling, number)) for prompt in read for number in range(each)]
    tokens = sum(prompt.tokens for prompt in read)
    return Work(voice=voice, requests=requests, stop=sampling.stop, prompt_tokens=tokens, each=each, kept=kept or each)


def _seeded(sampling: Sampling, number: int) -> Sampling:
    return sampling if sampling.seed is None or number == 0 else replace(sampling, seed=sampling.seed + number)


async def pieces(service: Service, work: Work) -> AsyncGenerator[tuple[int, Piece]]:
    """The pieces of all answers as they are made, each answer numbered.

    Ends every answer when the reader stops reading: its client left.
    """
    answers = [_Answer(work) for _ in work.requests]
    left = len(answers)
    metrics, last = service.metrics, [0.0] * len(answers)
    metrics.read.add(work.prompt_tokens)
    with service.stream(work.requests) as stream:
        while left:
            for index, tokens, error in await stream.next():
                if error is not None:
                    raise error
                now = time.monotonic()
                if last[index]:
                    metrics.between.see(now - last[index])
                else:
                    metrics.first.see(now - work.started)
                last[index] = now
                piece = answers[index].take(tokens)
                work.written += len(piece.tokens)
                work.log_probs.setdefault(index, []).extend(token.log_prob for token in piece.tokens)
                metrics.written.add(len(piece.tokens))
                if piece.finish_reason is not None:
                    left -= 1
                    work.reasons.append(piece.finish_reason)
                    stream.drop(index)
                yield index, piece


class _Answer:
    """One answer while it is written."""

    def __init__(self, work: Work) -> None:
        self.text = StopText(_decoder(work), work.stop)
        self.over = False

    def take(self, tokens: Sequence[Token]) -> Piece:
        text, kept, reason = "", [], None
        for token in tokens:
            if self.over:
                break
            if token.id is None:
                reason = token.finish_reason or "stop"
            else:
                text += self.text.push(token.id)
                kept.append(token)
                if self.text.stopped:
                    reason = "stop"
            if reason is not None:
                self.over = True
                text += self.text.finish()
        return Piece(text, kept, reason)


def _decoder(work: Work) -> TextStream:
    tokenizer = work.voice.tokenizer
    if work.show_control and isinstance(tokenizer, Tokenizer):
        return tokenizer.decode_stream(skip_special=False)
    return tokenizer.decode_stream()


def check_length(service: Service, asked: int | None) -> None:
    """Refuse an answer longer than the server writes."""
    most = service.limits.answer_tokens
    if most is not None and asked is not None and asked > most:
        raise ApiError(400, f"This server writes at most {most} tokens, not {asked}.", param="max_tokens")
