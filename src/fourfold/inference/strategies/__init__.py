"""Searches other than token by token: small loops over the `CausalLM` protocol that the engine runs beside its rows."""

from fourfold.inference.strategies.beam import beam_search
from fourfold.inference.strategies.contrastive import contrastive_search
from fourfold.inference.strategies.guessing import Guesses, LookUp, ModelDraft, draft_model
from fourfold.inference.strategies.reading import reading
from fourfold.inference.strategies.search import best_first, search_for
from fourfold.inference.strategies.speculative import Speculation, speculate

__all__ = [
    "Guesses",
    "LookUp",
    "ModelDraft",
    "Speculation",
    "beam_search",
    "best_first",
    "contrastive_search",
    "draft_model",
    "reading",
    "search_for",
    "speculate",
]
