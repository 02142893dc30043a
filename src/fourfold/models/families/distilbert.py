"""DistilBERT (Sanh et al. 2019): BERT with half the layers, without segments and pooler, taught by BERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.models.interop.encoder_keys import LAYER, SPARE, TOKENS, Encoder, Top, read_encoder, write_encoder
from fourfold.models.interop.normal import Config
from fourfold.models.interop.table import Family
from fourfold.models.transformer import Task, TransformerConfig

CLASSES = Encoder(
    prefix="DistilBert",
    segments=False,
    tops={
        "Model": Top(),
        "ForMaskedLM": Top(head=True),
        "ForSequenceClassification": Top(
            task=Task(kind="sequence", classes=2, transform="relu"),
            names={"task.dense": "pre_classifier", "task.projection": "classifier"},
        ),
        **TOKENS,
    },
)
OWN_KEYS = {
    "hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim", "hidden_act": "activation", "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}  # fmt: skip
"""What BERT calls it, and what DistilBERT does."""
FIXED = {"layer_norm_eps": 1e-12, "type_vocab_size": 0}


def _read(keys: Mapping[str, Any]) -> TransformerConfig:
    renamed = {bert: keys[own] for bert, own in OWN_KEYS.items() if own in keys}
    return read_encoder({**keys, **renamed, **FIXED}, CLASSES)


def _write(config: Config) -> dict[str, Any] | None:
    keys = write_encoder(config, CLASSES)
    if keys is None:
        return None
    return {OWN_KEYS.get(name, name): value for name, value in keys.items() if name not in FIXED}


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
