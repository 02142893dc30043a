"""T5 (Raffel et al. 2020), T5 1.1 and Flan-T5: pre-norm without biases, relative positions, scores not scaled.

The first T5 scales the tied head by 1/sqrt(hidden size); T5 1.1 has gated feed-forwards, a head of its own and no
scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop.normal import Config
from fourfold.models.interop.sequence_keys import check_class
from fourfold.models.interop.t5_keys import IGNORED, RENAMED, own_head, read_t5, t5_modules, write_t5
from fourfold.models.interop.table import Family
from fourfold.models.transformer import EncoderDecoderConfig

GENERATES = "T5ForConditionalGeneration"


def _read(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    check_class(keys, GENERATES, "T5Model", "T5WithLMHeadModel")
    return read_t5(keys, scaled=keys.get("scale_decoder_outputs", keys.get("tie_word_embeddings", True)))


def _write(config: Config) -> dict[str, Any] | None:
    keys = write_t5(config)
    if keys is None or not isinstance(config, EncoderDecoderConfig):
        return None
    return {**keys, "scale_decoder_outputs": config.decoder.head is not None and config.decoder.head.scale != 1.0}


T5 = Family(
    name="t5",
    architectures=lambda config: GENERATES,
    read_config=_read,
    write_config=_write,
    observed=own_head,
    modules={},
    modules_by_config=t5_modules,
    renamed=RENAMED,
    ignored=IGNORED,
)
