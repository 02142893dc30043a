"""mT5 (Xue et al. 2021): T5 1.1 over many languages; its head is never scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import Family, sequence_keys, t5_keys
from fourfold.models.transformer import EncoderDecoderConfig

GENERATES = "MT5ForConditionalGeneration"


def _read(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    sequence_keys.check_class(keys, GENERATES, "MT5Model")
    return t5_keys.read_t5({"feed_forward_proj": "gated-gelu", **keys}, scaled=False)


MT5 = Family(
    name="mt5",
    architectures=lambda config: GENERATES,
    read_config=_read,
    write_config=t5_keys.write_t5,
    observed=t5_keys.own_head,
    modules={},
    modules_by_config=t5_keys.t5_modules,
    renamed=t5_keys.RENAMED,
    ignored=t5_keys.IGNORED,
)
