"""DistilBERT (Sanh et al. 2019): BERT with half the layers, without segments and pooler, taught by BERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.families.encoder_keys import LAYER, SPARE, Encoder, Top
from fourfold.models.families.keys import expect, read_activation, write_activation, write_task
from fourfold.models.families.normal import Config
from fourfold.models.families.table import Family
from fourfold.models.transformer import Attention, Embedding, FeedForward, Head, Learned, Norm, Task, TransformerConfig

EPSILON = 1e-12
CLASSES = Encoder(
    prefix="DistilBert",
    tops={
        "Model": Top(),
        "ForMaskedLM": Top(head=True),
        "ForSequenceClassification": Top(
            task=Task(kind="sequence", classes=2, transform="relu"),
            names={"task.dense": "pre_classifier", "task.projection": "classifier"},
        ),
        "ForTokenClassification": Top(task=Task(kind="token", classes=2), names={"task.projection": "classifier"}),
        "ForQuestionAnswering": Top(task=Task(kind="span", classes=2), names={"task.projection": "qa_outputs"}),
    },
)


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    expect(keys, tie_word_embeddings=True)
    top = CLASSES.read(keys)
    activation = read_activation(keys.get("activation", "gelu"))
    return TransformerConfig(
        vocabulary_size=keys["vocab_size"],
        hidden_size=keys["dim"],
        layers=keys["n_layers"],
        context=keys["max_position_embeddings"],
        attention=Attention(heads=keys["n_heads"], bias=True),
        feed_forward=FeedForward(size=keys["hidden_dim"], activation=activation, gated=False, bias=True),
        norm=Norm(kind="layer", place="post", epsilon=EPSILON),
        positions=Learned(),
        embedding=Embedding(norm=True),
        head=Head(bias=True, transform=activation) if top.head else None,
        task=top.task,
        mask="bidirectional",
        dropout=keys.get("dropout", 0.1),
    )


def _write(config: Config) -> dict[str, Any] | None:
    if not isinstance(config, TransformerConfig) or config.mask != "bidirectional":
        return None
    return {
        "vocab_size": config.vocabulary_size,
        "dim": config.hidden_size,
        "n_layers": config.layers,
        "n_heads": config.attention.heads,
        "hidden_dim": config.feed_forward.size,
        "activation": write_activation(config.feed_forward.activation, tanh="gelu_new"),
        "dropout": config.dropout,
        "attention_dropout": config.dropout,
        "max_position_embeddings": config.context,
        "tie_word_embeddings": True,
        **write_task(config),
    }


INSIDE = {
    "attention.query": "attention.q_lin",
    "attention.key": "attention.k_lin",
    "attention.value": "attention.v_lin",
    "attention.output": "attention.out_lin",
    "norm_attention": "sa_layer_norm",
    "feed_forward.up": "ffn.lin1",
    "feed_forward.down": "ffn.lin2",
    "norm_feed_forward": "output_layer_norm",
}
DISTILBERT = Family(
    name="distilbert",
    architectures=CLASSES.architecture,
    read_config=_read,
    write_config=_write,
    modules={
        "stack.embedding": "distilbert.embeddings.word_embeddings",
        "stack.positions": "distilbert.embeddings.position_embeddings",
        "stack.embedding_norm": "distilbert.embeddings.LayerNorm",
        **{LAYER + ours: "distilbert.transformer.layer.{i}." + theirs for ours, theirs in INSIDE.items()},
        "head.dense": "vocab_transform",
        "head.norm": "vocab_layer_norm",
        "head.projection": "vocab_projector",
        "head.bias": "vocab_projector.bias",
    },
    modules_by_config=CLASSES.names,
    base="distilbert",
    spare=SPARE,
)
