"""Speculative decoding: guessed tokens are checked in one call, and what is kept follows the model's own distribution.

Letters: G guesses, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fourfold.inference.engine import Request, Token
from fourfold.inference.sampling import Sampler, log_total, top_alternatives
from fourfold.inference.strategies.guessing import Guess, Guesses
from fourfold.inference.strategies.reader import Reader
from fourfold.models import CausalLM


@dataclass
class Speculation:
    """What became of the guesses of an answer."""

    calls: int = 0
    """Of the model, the prompt's not counted."""
    guessed: int = 0
    accepted: int = 0

    @property
    def acceptance(self) -> float:
        """The share of guesses that were right."""
        return self.accepted / self.guessed if self.guessed else 0.0


def speculate(
    model: CausalLM,
    request: Request,
    sampler: Sampler,
    guesses: Guesses,
    tokens: int,
    device: torch.device,
    counts: Speculation | None = None,
) -> Generator[Sequence[Token]]:
    """The tokens of an answer, several a call where guesses are right (Leviathan et al. 2023, algorithm 1).

    A greedy answer is the greedy answer without guesses, up to the rounding of a call of several tokens.
    """
    counts = Speculation() if counts is None else counts
    reader = Reader(model, request, device, extra=tokens)
    answer: list[int] = []
    logits = reader.read([request.ids]).logits[0]
    chosen = [sampler.choose(logits[0])]
    while True:
        told = _told(request, answer, chosen, logits, reader.room)
        yield told
        if told[-1].id is None:
            break
        known, left = [*request.ids, *answer], reader.room - len(answer)
        reader.go_back(known[:-1])
        guess = guesses.guess(request.ids, answer, min(tokens, left - 1))
        logits = reader.read([[known[-1], *guess.ids]], last=False).logits[0]
        chosen = _checked(logits, guess, sampler, answer, request.stop_ids)
        counts.calls += 1
        counts.guessed += len(guess.ids)
        counts.accepted += sum(id == right for id, right in zip(guess.ids, chosen, strict=False))
    guesses.free()
    reader.free()


def _told(request: Request, answer: list[int], chosen: list[int], logits: Tensor, room: int) -> list[Token]:
    """Keep chosen tokens, told with the (G + 1, V) logits they come from; the last one has no id at the end."""
    told: list[Token] = []
    for place, id in enumerate(chosen):
        log_prob = float(logits[place, id] - log_total(logits[place : place + 1])[0, 0])
        if id in request.stop_ids:
            return [*told, Token(None, log_prob, "stop")]
        count = request.top_alternatives
        told.append(Token(id, log_prob, None, tuple(top_alternatives(logits[place], count)) if count else ()))
        answer.append(id)
        if len(answer) == room:
            return [*told, Token(None, log_prob, "length")]
    return told


def _checked(logits: Tensor, guess: Guess, sampler: Sampler, answer: list[int], stop_ids: frozenset[int]) -> list[int]:
    """The guesses that stand, up to one that ends the answer, or else with one token more.

    From the (G + 1, V) logits before, amid and after the guesses.
    """
    kept: list[int] = []
    for place, id in enumerate(guess.ids):
        wanted = sampler.distribution(logits[place], [*answer, *kept])
        drawn = None if guess.distributions is None else guess.distributions[place]
        chance = float(wanted[id]) / (1.0 if drawn is None else float(drawn[id]))
        if sampler.random.random() >= chance:
            return [*kept, sampler.draw(residue(wanted, drawn, id))]
        kept.append(id)
        if id in stop_ids:
            return kept
    return [*kept, sampler.choose(logits[len(kept)], [*answer, *kept])]


def residue(wanted: Tensor, drawn: Tensor | None, id: int) -> Tensor:
    """(V,) max(0, p - q): what a refused guess leaves to draw from; without q the guess `id` was certain."""
    if drawn is None:
        return wanted.scatter(0, torch.tensor([id], device=wanted.device), 0.0)
    left = (wanted - drawn).clamp(min=0)
    return left if left.any() else wanted  # nothing is left only where the two are the same but for rounding
