"""BERT (Devlin et al. 2019): a bidirectional encoder, norms after the sums, learned positions and segments.

The masked-language-model head is a dense layer, an activation and a norm before the tied embedding; next-sentence
prediction, classification and question answering are tasks on the encoder.
"""

from __future__ import annotations

from fourfold.models.interop.encoder_keys import (
    OLD_NORMS,
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

NEXT_SENTENCE = Task(kind="sequence", classes=2)
CLASSES = Encoder(
    prefix="Bert",
    tops={
        "Model": Top(pooler=True),
        "ForMaskedLM": Top(head=True),
        "ForPreTraining": Top(
            head=True,
            pooler=True,
            task=NEXT_SENTENCE,
            labelled=False,
            names={"task.projection": "cls.seq_relationship"},
        ),
        "ForSequenceClassification": Top(
            pooler=True, task=Task(kind="sequence", classes=2), names={"task.projection": "classifier"}
        ),
        **TOKENS,
    },
)
BERT = Family(
    name="bert",
    architectures=CLASSES.architecture,
    read_config=lambda keys: read_encoder(keys, CLASSES),
    write_config=lambda config: write_encoder(config, CLASSES),
    observed=without_pooler,
    modules={
        **encoder_modules("bert"),
        "head.dense": "cls.predictions.transform.dense",
        "head.norm": "cls.predictions.transform.LayerNorm",
        "head.projection": "cls.predictions.decoder",
        "head.bias": "cls.predictions.bias",
    },
    modules_by_config=CLASSES.names,
    base="bert",
    renamed=OLD_NORMS,
    ignored=(r"embeddings\.position_ids$", r"^cls\.predictions\.decoder\.bias$"),
    spare=SPARE,
)
