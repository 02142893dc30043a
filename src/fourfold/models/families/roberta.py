"""RoBERTa (Liu et al. 2019): BERT trained longer and without next sentences; positions count from the padding id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.families.encoder_keys import (
    SPARE,
    Encoder,
    Top,
    encoder_modules,
    read_encoder,
    without_pooler,
    write_encoder,
)
from fourfold.models.families.normal import Config
from fourfold.models.families.table import Family
from fourfold.models.transformer import Learned, Task, TransformerConfig

CLASSES = Encoder(
    prefix="Roberta",
    tops={
        "Model": Top(pooler=True),
        "ForMaskedLM": Top(head=True),
        "ForSequenceClassification": Top(
            task=Task(kind="sequence", classes=2, transform="tanh"),
            names={"task.dense": "classifier.dense", "task.projection": "classifier.out_proj"},
        ),
        "ForTokenClassification": Top(task=Task(kind="token", classes=2), names={"task.projection": "classifier"}),
        "ForQuestionAnswering": Top(task=Task(kind="span", classes=2), names={"task.projection": "qa_outputs"}),
    },
)
USUAL_PADDING = 1


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    padding = keys.get("pad_token_id")
    return read_encoder(keys, CLASSES, offset=(USUAL_PADDING if padding is None else padding) + 1)


def _write(config: Config) -> dict[str, Any] | None:
    keys = write_encoder(config, CLASSES)
    if keys is None or not isinstance(config, TransformerConfig) or not isinstance(config.positions, Learned):
        return None
    return {**keys, "pad_token_id": config.positions.offset - 1} if config.positions.offset else None


ROBERTA = Family(
    name="roberta",
    architectures=CLASSES.architecture,
    read_config=_read,
    write_config=_write,
    observed=without_pooler,
    modules={
        **encoder_modules("roberta"),
        "head.dense": "lm_head.dense",
        "head.norm": "lm_head.layer_norm",
        "head.projection": "lm_head.decoder",
        "head.bias": "lm_head.bias",
    },
    modules_by_config=CLASSES.names,
    base="roberta",
    ignored=(r"embeddings\.position_ids$", r"^lm_head\.decoder\.bias$"),
    spare=SPARE,
)
