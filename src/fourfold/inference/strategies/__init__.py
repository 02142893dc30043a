"""Searches other than token by token: small drivers of one request over the `CausalLM` protocol."""

from fourfold.inference.strategies.beam import beam_search
from fourfold.inference.strategies.contrastive import contrastive_search
from fourfold.inference.strategies.guessing import Guesses, LookUp, ModelDraft
from fourfold.inference.strategies.search import Search, best_first, strategy_for
from fourfold.inference.strategies.speculative import Speculation, speculate

__all__ = [
    "Guesses",
    "LookUp",
    "ModelDraft",
    "Search",
    "Speculation",
    "beam_search",
    "best_first",
    "contrastive_search",
    "speculate",
    "strategy_for",
]
