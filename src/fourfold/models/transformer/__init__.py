"""The transformer: one configuration, values for every variant."""

from fourfold.models.transformer.cache import KeyValueCache
from fourfold.models.transformer.config import (
    Attention,
    FeedForward,
    Learned,
    Norm,
    Positions,
    Rotary,
    TransformerConfig,
)
from fourfold.models.transformer.model import Transformer, TransformerLM

__all__ = [
    "Attention",
    "FeedForward",
    "KeyValueCache",
    "Learned",
    "Norm",
    "Positions",
    "Rotary",
    "Transformer",
    "TransformerConfig",
    "TransformerLM",
]
