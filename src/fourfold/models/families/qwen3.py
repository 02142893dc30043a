"""Qwen3 (Yang et al. 2025): Llama with normed queries and keys, and heads of a size of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.families.llama import LLAMA
from fourfold.models.families.qwen2 import upper_windows, write_upper_windows
from fourfold.models.interop import Config, Family, class_name, parts
from fourfold.models.transformer import TransformerConfig


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    config = LLAMA.read_config({"head_dim": 128, **keys, "mlp_bias": False})
    assert isinstance(config, TransformerConfig)
    return replace(config, attention=replace(config.attention, norm="head", windows=upper_windows(keys)))


def _write(config: Config) -> dict[str, Any] | None:
    keys = LLAMA.write_config(config)
    windows = None if keys is None or not isinstance(config, TransformerConfig) else write_upper_windows(config)
    if keys is None or windows is None:
        return None
    return {name: value for name, value in keys.items() if name != "mlp_bias"} | windows


QWEN3 = Family(
    name="qwen3",
    architectures=class_name("Qwen3"),
    read_config=_read,
    write_config=_write,
    modules={**parts.LLAMA, **parts.LLAMA_QUERY_KEY_NORMS},
    base="model",
    ignored=LLAMA.ignored,
)
