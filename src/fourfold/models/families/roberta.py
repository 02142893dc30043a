"""RoBERTa (Liu et al. 2019): BERT trained longer and without next sentences; positions count from the padding id."""

from __future__ import annotations

from fourfold.models.interop.encoder_keys import (
    CLASSIFIER,
    SPARE,
    TOKENS,
    Encoder,
    Top,
    encoder_modules,
    read_encoder,
    without_pooler,
    write_encoder,
)
from fourfold.models.interop.table import Family
from fourfold.models.transformer import Task

CLASSES = Encoder(
    prefix="Roberta",
    after_padding=True,
    tops={
        "Model": Top(pooler=True),
        "ForMaskedLM": Top(head=True),
        "ForSequenceClassification": Top(
            task=Task(kind="sequence", classes=2, transform="tanh"),
            names=CLASSIFIER,
        ),
        **TOKENS,
    },
)
ROBERTA = Family(
    name="roberta",
    architectures=CLASSES.architecture,
    read_config=lambda keys: read_encoder(keys, CLASSES),
    write_config=lambda config: write_encoder(config, CLASSES),
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
