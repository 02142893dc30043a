"""The catalogue: cards of models, architectures and data with their sources, and where to find the default model."""

from fourfold.resources.cards import DataCard, ModelCard, data_card, model_card
from fourfold.resources.devices import DeviceCard, TrainingRun, device_card, device_names, training_runs
from fourfold.resources.fetch import cache_folder, fetch_smollm2, find_smollm2, hub_snapshot
from fourfold.resources.presets import (
    Agreement,
    ArchitectureCard,
    Preset,
    SizeCard,
    agreement,
    architectures,
    find_preset,
    published_config,
    published_number,
)

__all__ = [
    "Agreement",
    "ArchitectureCard",
    "DataCard",
    "DeviceCard",
    "ModelCard",
    "Preset",
    "SizeCard",
    "TrainingRun",
    "agreement",
    "architectures",
    "cache_folder",
    "data_card",
    "device_card",
    "device_names",
    "fetch_smollm2",
    "find_preset",
    "find_smollm2",
    "hub_snapshot",
    "model_card",
    "published_config",
    "published_number",
    "training_runs",
]
