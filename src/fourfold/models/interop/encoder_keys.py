"""What the encoders of BERT's line share: keys of `config.json`, names of modules, and what stands on the encoder.

Each class of `transformers` puts something else on one encoder. A family lists its classes as `Top`s by the end of
the class name; `Classes` reads and writes the name in `architectures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from fourfold.errors import unknown_name
from fourfold.models.interop.keys import expect, read_activation, write_activation, write_task
from fourfold.models.interop.normal import Config
from fourfold.models.transformer import (
    Activation,
    Attention,
    Embedding,
    FeedForward,
    Head,
    Learned,
    Norm,
    Task,
    TransformerConfig,
)

LAYER = "stack.layers.{i}."
OLD_NORMS = {r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"}
"""As the first files in PyTorch named them, after TensorFlow."""
POSITION_IDS = r"embeddings\.position_ids$"
TOPS = r"^(cls|lm_head|classifier|qa_outputs|vocab_\w+|generator_\w+|discriminator_\w+)\."
SPARE = (r"(^|\.)pooler\.", TOPS, POSITION_IDS)
"""What files of a larger class hold beyond the class in `architectures`, and old files beyond new ones."""
USUAL_PADDING = 1
LABELS = 2
"""Classes of a task that takes their number from the labels in `config.json`."""


@dataclass(frozen=True, kw_only=True)
class Top:
    """What one class has on the encoder."""

    head: bool = False
    pooler: bool = False
    task: Task | None = None
    labelled: bool = True
    """The file says how many classes."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The file's names of the task's modules."""

    def fits(self, config: TransformerConfig) -> bool:
        task = config.task
        if (config.head is not None) != self.head or (task is None) != (self.task is None):
            return False
        if task is None or self.task is None:
            return config.pooler <= self.pooler
        counted = replace(task, classes=self.task.classes) if self.labelled else task
        return config.pooler == self.pooler and counted == self.task


TOKENS = {
    "ForTokenClassification": Top(task=Task(kind="token", classes=2), names={"task.projection": "classifier"}),
    "ForQuestionAnswering": Top(task=Task(kind="span", classes=2), names={"task.projection": "qa_outputs"}),
}
"""Classes that are one projection of each token in every family."""


def classifier(activation: Activation, dense: str = "classifier.dense", projection: str = "classifier.out_proj") -> Top:
    """A class of the whole text, by a dense layer and a projection of its first token."""
    task = Task(kind="sequence", classes=2, transform=activation)
    return Top(task=task, names={"task.dense": dense, "task.projection": projection})


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes of one family."""

    prefix: str
    """Of the class names."""
    tops: Mapping[str, Top]
    """By the end of the class name; `Model` is the plain encoder."""
    segments: bool = True
    """Whether there are kinds of segment."""
    after_padding: bool = False
    """Positions count from the row behind the padding id, not from the first."""

    own_keys: Mapping[str, str] = field(default_factory=dict)
    """What the family calls a key of BERT's, by BERT's name."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Keys of BERT's that the family's files lack, with the one value they have."""

    def read_config(self, keys: Mapping[str, Any]) -> TransformerConfig:
        return _read(keys, self)

    def write_config(self, config: Config) -> dict[str, Any] | None:
        return _write(config, self)

    def top(self, keys: Mapping[str, Any]) -> Top:
        """The top of the class in `architectures`, its task with as many classes as there are labels."""
        written = next(iter(keys.get("architectures") or ()), f"{self.prefix}Model")
        known = {self.prefix + name: top for name, top in self.tops.items()}
        if written not in known:
            raise unknown_name("class of model", written, known, "config.json: architectures")
        top = known[written]
        if top.task is None or not top.labelled:
            return top
        labels = keys.get("id2label")
        classes = len(labels) if labels else int(keys.get("num_labels") or LABELS)
        return replace(top, task=replace(top.task, classes=classes))

    def architecture(self, config: Config) -> str:
        return self.prefix + self._name(config)

    def names(self, config: Config) -> Mapping[str, str]:
        return self.tops[self._name(config)].names

    def _name(self, config: Config) -> str:
        assert isinstance(config, TransformerConfig)
        return next((name for name, top in self.tops.items() if top.fits(config)), "Model")


def _read(keys: Mapping[str, Any], encoder: Classes) -> TransformerConfig:
    """The configuration in BERT's keys, or the family's own."""
    keys = {**keys, **{usual: keys[own] for usual, own in encoder.own_keys.items() if own in keys}, **encoder.fixed}
    expect(keys, is_decoder=False, add_cross_attention=False, position_embedding_type="absolute")
    expect(keys, tie_word_embeddings=True)
    top = encoder.top(keys)
    padding = keys.get("pad_token_id")
    offset = 1 + (USUAL_PADDING if padding is None else padding) if encoder.after_padding else 0
    activation = read_activation(keys.get("hidden_act", "gelu"))
    return TransformerConfig(
        vocabulary_size=keys["vocab_size"],
        hidden_size=keys["hidden_size"],
        layers=keys["num_hidden_layers"],
        context=keys["max_position_embeddings"] - offset,
        attention=Attention(heads=keys["num_attention_heads"], bias=True),
        feed_forward=FeedForward(size=keys["intermediate_size"], activation=activation, gated=False, bias=True),
        norm=Norm(kind="layer", place="post", epsilon=keys.get("layer_norm_eps", 1e-12)),
        positions=Learned(offset=offset),
        embedding=Embedding(norm=True, segments=keys.get("type_vocab_size", 2) if encoder.segments else 0),
        head=Head(bias=True, transform=activation) if top.head else None,
        pooler=top.pooler and keys.get("add_pooling_layer", True),
        task=top.task,
        mask="bidirectional",
        dropout=keys.get("hidden_dropout_prob", 0.1),
    )


def _write(config: Config, encoder: Classes) -> dict[str, Any] | None:
    """The inverse of `_read`."""
    if not isinstance(config, TransformerConfig) or not isinstance(config.positions, Learned):
        return None
    offset, segments = config.positions.offset, config.embedding.segments
    usual = bool(offset) == encoder.after_padding and bool(segments) == encoder.segments
    if config.mask != "bidirectional" or not usual:
        return None
    pooled = encoder.tops["Model"].pooler and config.head is None and config.task is None
    keys = {
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.attention.heads,
        "intermediate_size": config.feed_forward.size,
        "hidden_act": write_activation(config.feed_forward.activation, tanh="gelu_new"),
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "max_position_embeddings": config.context + offset,
        "type_vocab_size": segments,
        "layer_norm_eps": config.norm.epsilon,
        "tie_word_embeddings": True,
        **({"pad_token_id": offset - 1} if offset else {}),
        **({} if config.pooler or not pooled else {"add_pooling_layer": False}),
        **write_task(config),
    }
    return {encoder.own_keys.get(name, name): value for name, value in keys.items() if name not in encoder.fixed}


BERT_LAYER = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "norm_attention": "attention.output.LayerNorm",
    "feed_forward.up": "intermediate.dense",
    "feed_forward.down": "output.dense",
    "norm_feed_forward": "output.LayerNorm",
}


def modules(base: str, layers: str = "encoder", inside: Mapping[str, str] = BERT_LAYER) -> dict[str, str]:
    """Names of BERT's encoder, which its successors kept; `inside` a layer not all of them."""
    return {
        "stack.embedding": f"{base}.embeddings.word_embeddings",
        "stack.positions": f"{base}.embeddings.position_embeddings",
        "stack.segments": f"{base}.embeddings.token_type_embeddings",
        "stack.embedding_norm": f"{base}.embeddings.LayerNorm",
        **{LAYER + ours: f"{base}.{layers}.layer.{{i}}.{theirs}" for ours, theirs in inside.items()},
        "pooler": f"{base}.pooler.dense",
    }


def without_pooler(keys: Mapping[str, Any], names: AbstractSet[str]) -> Mapping[str, Any]:
    """Files of the plain encoder may lack the pooler, which only the names of their tensors tell."""
    return keys if any("pooler." in name for name in names) else {**keys, "add_pooling_layer": False}
