"""Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases of query, key and value, and windows in the upper layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.families.llama import LLAMA
from fourfold.models.interop import FULL, SLIDING, Config, Family, class_name, parts, read_windows, write_windows
from fourfold.models.transformer import TransformerConfig


def upper_windows(keys: Mapping[str, Any]) -> tuple[int | None, ...]:
    """The windows of Qwen's files: by `layer_types`, or from layer `max_window_layers` on; none unless switched on."""
    if not keys.get("use_sliding_window", False):
        return (None,)
    full = keys.get("max_window_layers", 28)
    kinds = [SLIDING if layer >= full else FULL for layer in range(keys["num_hidden_layers"])]
    return read_windows({"sliding_window": 4096, **keys}, kinds)


def write_upper_windows(config: TransformerConfig) -> dict[str, Any] | None:
    """The inverse; None when the windows differ in size."""
    windows = write_windows(config)
    if windows is None:
        return None
    full = windows["layer_types"].index(SLIDING) if SLIDING in windows["layer_types"] else config.layers
    return {**windows, "use_sliding_window": windows["sliding_window"] is not None, "max_window_layers": full}


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    config = LLAMA.read_config({**keys, "attention_bias": True, "mlp_bias": False})
    assert isinstance(config, TransformerConfig)
    attention = replace(config.attention, output_bias=False, windows=upper_windows(keys))
    return replace(config, attention=attention)


def _write(config: Config) -> dict[str, Any] | None:
    keys = LLAMA.write_config(config)
    windows = None if keys is None or not isinstance(config, TransformerConfig) else write_upper_windows(config)
    if keys is None or windows is None:
        return None
    return {name: value for name, value in keys.items() if not name.endswith("_bias")} | windows


QWEN2 = Family(
    name="qwen2",
    architectures=class_name("Qwen2"),
    read_config=_read,
    write_config=_write,
    modules=parts.LLAMA,
    base="model",
    ignored=LLAMA.ignored,
)
