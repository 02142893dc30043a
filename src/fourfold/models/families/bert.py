"""BERT (Devlin et al. 2019): a bidirectional encoder, norms after the sums, learned positions and segments.

The masked-language-model head is a dense layer, an activation and a norm before the tied embedding; next-sentence
prediction, classification and question answering are tasks on the encoder.
"""

from __future__ import annotations

from fourfold.models.interop import Family
from fourfold.models.interop import encoder_keys as encoder
from fourfold.models.transformer import Task

OF_THE_TEXT = Task(kind="sequence", classes=2)
CLASSES = encoder.Classes(
    prefix="Bert",
    tops={
        "Model": encoder.Top(pooler=True),
        "ForMaskedLM": encoder.Top(head=True),
        "ForPreTraining": encoder.Top(
            head=True,
            pooler=True,
            task=OF_THE_TEXT,
            labelled=False,
            names={"task.projection": "cls.seq_relationship"},
        ),
        "ForSequenceClassification": encoder.Top(
            pooler=True,
            task=OF_THE_TEXT,
            names={"task.projection": "classifier"},
        ),
        **encoder.TOKENS,
    },
)
BERT = Family(
    name="bert",
    architectures=CLASSES.architecture,
    read_config=CLASSES.read_config,
    write_config=CLASSES.write_config,
    observed=encoder.without_pooler,
    modules={
        **encoder.modules("bert"),
        "head.dense": "cls.predictions.transform.dense",
        "head.norm": "cls.predictions.transform.LayerNorm",
        "head.projection": "cls.predictions.decoder",
        "head.bias": "cls.predictions.bias",
    },
    modules_by_config=CLASSES.names,
    base="bert",
    renamed=encoder.OLD_NORMS,
    ignored=(r"^cls\.predictions\.decoder\.bias$",),
    spare=encoder.SPARE,
)
