"""Cheap guesses of the next tokens, for a model to check: by looking up, or by a smaller model.

Letters: G guesses, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, final

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.inference.choices import Drafts
from fourfold.inference.engine import Request
from fourfold.inference.sampling import Sampler
from fourfold.inference.strategies.reader import Reader
from fourfold.models import CausalLM
from fourfold.models.ngram import WordTokenizer
from fourfold.tokenizers import Tokenizer

LONGEST, SHORTEST = 4, 2
"""Tokens at the end that are looked up, the longest first."""


class Guess(NamedTuple):
    """Tokens, and how they were drawn."""

    ids: list[int]
    distributions: Tensor | None
    """(G, V) what each was drawn from; None: nothing was drawn, each was certain."""


class Guesses(Protocol):
    """Where guesses come from."""

    def guess(self, prompt: Sequence[int], answer: Sequence[int], count: int) -> Guess:
        """At most `count` tokens to follow prompt and answer."""

    def free(self) -> None:
        """No more are needed."""


@final
class LookUp:
    """What followed the same last tokens when they stood here before (Saxena 2023, prompt look-up decoding).

    Every place is noted once, so a guess costs the same however long the text is.
    """

    def __init__(self) -> None:
        self._followed: dict[tuple[int, ...], int] = {}
        self._ids: list[int] = []

    def guess(self, prompt: Sequence[int], answer: Sequence[int], count: int) -> Guess:
        self._note([*prompt, *answer] if not self._ids else answer[len(self._ids) - len(prompt) :])
        for size in range(LONGEST, SHORTEST - 1, -1):
            place = self._followed.get(tuple(self._ids[-size:]))
            if place is not None:
                return Guess(self._ids[place : place + count], None)
        return Guess([], None)

    def free(self) -> None:
        self._followed.clear()

    def _note(self, ids: Sequence[int]) -> None:
        """The last tokens themselves are noted when the next ones come: nothing has followed them yet."""
        for id in ids:
            for size in range(SHORTEST, LONGEST + 1):
                if len(self._ids) >= size:
                    self._followed[tuple(self._ids[-size:])] = len(self._ids)
            self._ids.append(id)


@final
class ModelDraft:
    """Guesses drawn from a smaller model of the same vocabulary, by the request's own sampling."""

    def __init__(self, model: CausalLM, request: Request, sampler: Sampler, device: torch.device, extra: int) -> None:
        self.sampler, self.stop_ids = sampler, request.stop_ids
        self._reader = Reader(model, request, device, extra=extra)
        self._context = model.context
        self._read: list[int] = []

    def guess(self, prompt: Sequence[int], answer: Sequence[int], count: int) -> Guess:
        ids, written = [*prompt, *answer], list(answer)
        same = min(len(ids) - 1, _common(ids, self._read))
        self._reader.go_back(ids[:same])
        count = count if self._context is None else min(count, self._context - len(ids))
        pending, distributions, guessed = ids[same:], list[Tensor](), list[int]()
        while len(guessed) < count and pending[-1] not in self.stop_ids:
            logits = self._reader.read([pending]).logits[0, -1]
            distribution = self.sampler.distribution(logits, written)
            id = self.sampler.draw(distribution)
            guessed.append(id)
            written.append(id)
            distributions.append(distribution)
            pending = [id]
        self._read = (ids + guessed[:-1]) if guessed else ids[:same]
        return Guess(guessed, torch.stack(distributions) if distributions else None)

    def free(self) -> None:
        self._reader.free()


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens that both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))


def draft_model(draft: str | Drafts, tokenizer: object) -> CausalLM:
    """The small model, loaded once; UserError if its tokens are others."""
    model = _loaded(draft) if isinstance(draft, str) else draft
    if fingerprint(model.tokenizer) != fingerprint(tokenizer):
        raise UserError(
            "the draft model has another tokenizer, so it cannot guess for this one", where=draft,
            advice="Take a smaller model of the same family.",
        )  # fmt: skip
    return model.module


@lru_cache(maxsize=2)
def _loaded(reference: str) -> Drafts:
    from fourfold.inference.loading import load

    model = load(reference)
    if not isinstance(model, Drafts):
        raise UserError("a draft model has to be one that writes and runs here", where=reference)
    return model


def fingerprint(tokenizer: object) -> str:
    """Equal where two tokenizers are."""
    assert isinstance(tokenizer, Tokenizer | WordTokenizer)
    return tokenizer.hash
