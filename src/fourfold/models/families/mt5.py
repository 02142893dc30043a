"""mT5 (Xue et al. 2021): T5 1.1 over many languages; its head is never scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.families.normal import Config
from fourfold.models.families.sequence_keys import check_class
from fourfold.models.families.t5 import GENERATES, IGNORED, RENAMED, own_head, read_t5, t5_modules, write_t5
from fourfold.models.families.table import Family
from fourfold.models.transformer import EncoderDecoderConfig


def _read(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    check_class(keys, "MT5" + GENERATES, "MT5Model")
    return read_t5({"feed_forward_proj": "gated-gelu", **keys}, scaled=False)


def _write(config: Config) -> dict[str, Any] | None:
    return write_t5(config)


MT5 = Family(
    name="mt5",
    architectures=lambda config: "MT5" + GENERATES,
    read_config=_read,
    write_config=_write,
    observed=own_head,
    modules={},
    modules_by_config=t5_modules,
    renamed=RENAMED,
    ignored=IGNORED,
)
