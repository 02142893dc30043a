"""Recurrent language models: the second generation."""

from fourfold.models.recurrent.config import RecurrentConfig
from fourfold.models.recurrent.model import RecurrentLM, RecurrentState

__all__ = ["RecurrentConfig", "RecurrentLM", "RecurrentState"]
