"""Mistral (Jiang et al. 2023): Llama with a sliding window in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.families.llama import LLAMA
from fourfold.models.interop import Config, Family, class_name, parts
from fourfold.models.transformer import TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    config = LLAMA.read_config({"num_key_value_heads": 8, **keys, "attention_bias": False, "mlp_bias": False})
    assert isinstance(config, TransformerConfig)
    window = keys.get("sliding_window", 4096)  # the files of the first release leave it out
    return replace(config, attention=replace(config.attention, windows=(window,)))


def _write(config: Config) -> dict[str, Any] | None:
    keys = LLAMA.write_config(config)
    if keys is None or not isinstance(config, TransformerConfig):
        return None
    return {**keys, "sliding_window": config.window(0)}


MISTRAL = Family(
    name="mistral",
    architectures=class_name("Mistral"),
    read_config=_read,
    write_config=_write,
    modules=parts.LLAMA,
    base="model",
    ignored=LLAMA.ignored,
)
