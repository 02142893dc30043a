"""Recurrent language models: the second generation."""

from fourfold.models.recurrent.config import RecurrentConfig
from fourfold.models.recurrent.mixed import mixed_lstm, products_in_bf16
from fourfold.models.recurrent.model import RecurrentLM, RecurrentState

__all__ = ["RecurrentConfig", "RecurrentLM", "RecurrentState", "mixed_lstm", "products_in_bf16"]
