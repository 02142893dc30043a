"""ELECTRA (Clark et al. 2020): a small generator fills masks, a discriminator tells the replaced tokens.

Embeddings are narrower than the layers. The discriminator is a task of one class a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourfold.models.interop import Config, Family
from fourfold.models.interop import encoder_keys as encoder
from fourfold.models.transformer import Task, TransformerConfig

PREDICTIONS = "discriminator_predictions."
DETECTOR = {"task.dense": PREDICTIONS + "dense", "task.projection": PREDICTIONS + "dense_prediction"}
DETECTION = Task(kind="token", classes=1, transform="gelu")
CLASSES = encoder.Classes(
    prefix="Electra",
    tops={
        "Model": encoder.Top(),
        "ForMaskedLM": encoder.Top(head=True),
        "ForPreTraining": encoder.Top(task=DETECTION, labelled=False, names=DETECTOR),
        "ForSequenceClassification": encoder.classifier("gelu"),
        **encoder.TOKENS,
    },
)


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    config = CLASSES.read_config(keys)
    size, head = keys.get("embedding_size", 128), config.head and replace(config.head, transform="gelu")
    embedding = replace(config.embedding, size=size, projection_bias=size != config.hidden_size)
    return replace(config, head=head, embedding=embedding)


def _write(config: Config) -> dict[str, Any] | None:
    keys = CLASSES.write_config(config)
    width = config.embedding_size if isinstance(config, TransformerConfig) else None
    return keys and {**keys, "embedding_size": width}


ELECTRA = Family(
    name="electra",
    architectures=CLASSES.architecture,
    read_config=_read,
    write_config=_write,
    modules={
        **encoder.modules("electra"),
        "stack.projection": "electra.embeddings_project",
        "head.dense": "generator_predictions.dense",
        "head.norm": "generator_predictions.LayerNorm",
        "head.projection": "generator_lm_head",
        "head.bias": "generator_lm_head.bias",
    },
    modules_by_config=CLASSES.names,
    base="electra",
    spare=encoder.SPARE,
)
