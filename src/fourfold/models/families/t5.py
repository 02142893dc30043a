"""T5 (Raffel et al. 2020), T5 1.1 and Flan-T5: pre-norm without biases, relative positions, scores not scaled.

The first T5 scales the tied head by 1/sqrt(hidden size); T5 1.1 has gated feed-forwards, a head of its own and no
scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop import Config, Family, sequence_keys, t5_keys
from fourfold.models.transformer import EncoderDecoderConfig

GENERATES = "T5ForConditionalGeneration"


def _read(keys: Mapping[str, Any]) -> EncoderDecoderConfig:
    sequence_keys.check_class(keys, GENERATES, "T5Model", "T5WithLMHeadModel")
    return t5_keys.read_t5(keys, scaled=keys.get("scale_decoder_outputs", keys.get("tie_word_embeddings", True)))


def _write(config: Config) -> dict[str, Any] | None:
    keys = t5_keys.write_t5(config)
    if keys is None or not isinstance(config, EncoderDecoderConfig):
        return None
    return {**keys, "scale_decoder_outputs": config.decoder.head is not None and config.decoder.head.scale != 1.0}


T5 = Family(
    name="t5",
    architectures=lambda config: GENERATES,
    read_config=_read,
    write_config=_write,
    observed=t5_keys.own_head,
    modules={},
    modules_by_config=t5_keys.t5_modules,
    renamed=t5_keys.RENAMED,
    ignored=t5_keys.IGNORED,
)
