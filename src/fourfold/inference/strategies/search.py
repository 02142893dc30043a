"""What a request that wants another search asks the engine to run."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

import torch

from fourfold.inference.choices import Beam, Contrastive, Speculative
from fourfold.inference.engine import Request, Search, Token
from fourfold.inference.results import Generation, Sampling
from fourfold.inference.sampling import Sampler
from fourfold.inference.strategies.beam import beam_search
from fourfold.inference.strategies.contrastive import contrastive_search
from fourfold.inference.strategies.guessing import Guesses, LookUp, ModelDraft, draft_model
from fourfold.inference.strategies.speculative import speculate
from fourfold.models import CausalLM


class Writer(Protocol):
    """What a search needs of a language model."""

    @property
    def module(self) -> CausalLM: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def tokenizer(self) -> object: ...


def search_for(sampling: Sampling, writer: Writer) -> Search | None:
    """The search a request asks for, or None where tokens are chosen one by one."""
    asked, module, device = sampling.strategy, writer.module, writer.device
    if isinstance(asked, Beam):
        return Search(lambda request: beam_search(module, request, asked, device), rows=asked.size)
    if isinstance(asked, Contrastive):
        return Search(lambda request: contrastive_search(module, request, asked, device), rows=asked.k)
    if isinstance(asked, Speculative):
        return _speculation(asked, writer)
    return None


def _speculation(asked: Speculative, writer: Writer) -> Search:
    module, device = writer.module, writer.device
    small = None if asked.draft is None else draft_model(asked.draft, writer.tokenizer)

    def run(request: Request) -> Generator[Sequence[Token]]:
        sampler = request.sampler
        assert isinstance(sampler, Sampler)
        guesses: Guesses = LookUp()
        if small is not None:
            guesses = ModelDraft(small, request, sampler, device, asked.tokens)
        return speculate(module, request, sampler, guesses, asked.tokens, device)

    return Search(run, rows=1 if small is None else 2, extra=asked.tokens)


def best_first(answers: Sequence[Generation], wanted: int) -> list[Generation]:
    """The answers of highest mean log-probability, the best first."""

    def mean(answer: Generation) -> float:
        return sum(answer.log_probs) / max(len(answer.log_probs), 1)

    return sorted(answers, key=mean, reverse=True)[:wanted]
