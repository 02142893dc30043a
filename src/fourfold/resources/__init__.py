"""The catalogue: cards of models and data with their sources, and where to find the default model."""

from fourfold.resources.cards import DataCard, ModelCard, data_card, model_card
from fourfold.resources.fetch import cache_folder, fetch_smollm2, find_smollm2, hub_snapshot

__all__ = [
    "DataCard",
    "ModelCard",
    "cache_folder",
    "data_card",
    "fetch_smollm2",
    "find_smollm2",
    "hub_snapshot",
    "model_card",
]
