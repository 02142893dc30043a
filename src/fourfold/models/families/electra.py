"""ELECTRA (Clark et al. 2020): a small generator fills masks, a discriminator tells the replaced tokens.

Embeddings are narrower than the layers. The discriminator is a task of one class a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.interop.encoder_keys import (
    CLASSIFIER,
    SPARE,
    TOKENS,
    Encoder,
    Top,
    encoder_modules,
    read_encoder,
    write_encoder,
)
from fourfold.models.interop.normal import Config
from fourfold.models.interop.table import Family
from fourfold.models.transformer import Task, TransformerConfig

DETECTOR = {
    "task.dense": "discriminator_predictions.dense",
    "task.projection": "discriminator_predictions.dense_prediction",
}
CLASSES = Encoder(
    prefix="Electra",
    tops={
        "Model": Top(),
        "ForMaskedLM": Top(head=True),
        "ForPreTraining": Top(task=Task(kind="token", classes=1, transform="gelu"), labelled=False, names=DETECTOR),
        "ForSequenceClassification": Top(
            task=Task(kind="sequence", classes=2, transform="gelu"),
            names=CLASSIFIER,
        ),
        **TOKENS,
    },
)


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    config = read_encoder(keys, CLASSES)
    size = keys.get("embedding_size", 128)
    head = config.head and replace(config.head, transform="gelu")
    projected = size != config.hidden_size
    return replace(config, head=head, embedding=replace(config.embedding, size=size, projection_bias=projected))


def _write(config: Config) -> dict[str, Any] | None:
    keys = write_encoder(config, CLASSES)
    if keys is None or not isinstance(config, TransformerConfig):
        return None
    return {**keys, "embedding_size": config.embedding_size}


ELECTRA = Family(
    name="electra",
    architectures=CLASSES.architecture,
    read_config=_read,
    write_config=_write,
    modules={
        **encoder_modules("electra"),
        "stack.projection": "electra.embeddings_project",
        "head.dense": "generator_predictions.dense",
        "head.norm": "generator_predictions.LayerNorm",
        "head.projection": "generator_lm_head",
        "head.bias": "generator_lm_head.bias",
    },
    modules_by_config=CLASSES.names,
    base="electra",
    ignored=(r"embeddings\.position_ids$",),
    spare=SPARE,
)
