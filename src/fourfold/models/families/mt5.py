"""mT5 (Xue et al. 2021): T5 1.1 over many languages; its head is never scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop.sequence_keys import check_class
from fourfold.models.interop.t5_keys import IGNORED, RENAMED, own_head, read_t5, t5_modules, write_t5
from fourfold.models.interop.table import Family
from fourfold.models.transformer import EncoderDecoderConfig

GENERATES = "MT5ForConditionalGeneration"


def _read(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    check_class(keys, GENERATES, "MT5Model")
    return read_t5({"feed_forward_proj": "gated-gelu", **keys}, scaled=False)


MT5 = Family(
    name="mt5",
    architectures=lambda config: GENERATES,
    read_config=_read,
    write_config=write_t5,
    observed=own_head,
    modules={},
    modules_by_config=t5_modules,
    renamed=RENAMED,
    ignored=IGNORED,
)
