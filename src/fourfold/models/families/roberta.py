"""RoBERTa (Liu et al. 2019): BERT trained longer and without next sentences; positions count from the padding id."""

from __future__ import annotations

from fourfold.models.interop import Family
from fourfold.models.interop import encoder_keys as encoder

CLASSES = encoder.Classes(
    prefix="Roberta",
    after_padding=True,
    tops={
        "Model": encoder.Top(pooler=True),
        "ForMaskedLM": encoder.Top(head=True),
        "ForSequenceClassification": encoder.classifier("tanh"),
        **encoder.TOKENS,
    },
)
ROBERTA = Family(
    name="roberta",
    architectures=CLASSES.architecture,
    read_config=CLASSES.read_config,
    write_config=CLASSES.write_config,
    observed=encoder.without_pooler,
    modules={
        **encoder.modules("roberta"),
        "head.dense": "lm_head.dense",
        "head.norm": "lm_head.layer_norm",
        "head.projection": "lm_head.decoder",
        "head.bias": "lm_head.bias",
    },
    modules_by_config=CLASSES.names,
    base="roberta",
    ignored=(r"^lm_head\.decoder\.bias$",),
    spare=encoder.SPARE,
)
