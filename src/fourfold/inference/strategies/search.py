"""How a request that wants another search gets it: the same interface as a request of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, final

import torch

from fourfold.inference.choices import Beam, Contrastive, Speculative
from fourfold.inference.engine import Request, Token
from fourfold.inference.results import Generation, Sampling
from fourfold.inference.sampling import Sampler
from fourfold.inference.strategies.beam import beam_search
from fourfold.inference.strategies.contrastive import contrastive_search
from fourfold.inference.strategies.guessing import Guesses, LookUp, ModelDraft, draft_model
from fourfold.inference.strategies.speculative import speculate
from fourfold.models import CausalLM

Driver = Callable[[Request], Iterator[Token]]


class Writer(Protocol):
    """What a search needs of a language model."""

    @property
    def module(self) -> CausalLM: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def tokenizer(self) -> object: ...


@final
class Search:
    """One request on its way, driven by whoever iterates over it."""

    batch_invariant = True
    """Nothing else is in its calls."""

    def __init__(self, request: Request, driver: Driver) -> None:
        self.request = request
        self._tokens = driver(request)
        self._cancelled = False

    @torch.inference_mode()
    def _next(self) -> Token | None:
        return next(self._tokens, None)

    def __iter__(self) -> Iterator[Token]:
        while not self._cancelled and (token := self._next()) is not None:
            yield token

    def cancel(self) -> None:
        """Take no further step."""
        self._cancelled = True


def strategy_for(sampling: Sampling, writer: Writer) -> Driver | None:
    """The driver a request asks for, or None where tokens are chosen one by one in the engine."""
    asked, module, device = sampling.strategy, writer.module, writer.device
    if isinstance(asked, Beam):
        return lambda request: beam_search(module, request, asked, device)
    if isinstance(asked, Contrastive):
        return lambda request: contrastive_search(module, request, asked, device)
    if isinstance(asked, Speculative):
        small = None if asked.draft is None else draft_model(asked.draft, writer.tokenizer)

        def run(request: Request) -> Iterator[Token]:
            sampler = request.sampler
            assert isinstance(sampler, Sampler)
            guesses: Guesses = LookUp()
            if small is not None:
                guesses = ModelDraft(small, request, sampler, device, asked.tokens)
            return speculate(module, request, sampler, guesses, asked.tokens, device)

        return run
    return None


def best_first(answers: Sequence[Generation], wanted: int) -> list[Generation]:
    """The answers of highest mean log-probability, the best first."""

    def mean(answer: Generation) -> float:
        return sum(answer.log_probs) / max(len(answer.log_probs), 1)

    return sorted(answers, key=mean, reverse=True)[:wanted]
