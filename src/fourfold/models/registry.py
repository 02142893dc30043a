"""From the `model = {…}` table of a recipe to a module: a family, its sizes, and what the recipe changes in it.

Unknown keys are refused with the nearest right one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from fourfold.errors import unknown_name
from fourfold.models.axes import AXES, refuse_axes, with_axes
from fourfold.models.codec import read_option
from fourfold.models.elmo import Characters, ElmoConfig, ElmoLM
from fourfold.models.recurrent import RecurrentConfig, RecurrentLM
from fourfold.models.transformer import (
    Attention,
    Embedding,
    EncoderDecoder,
    EncoderDecoderConfig,
    FeedForward,
    Head,
    Initialisation,
    Learned,
    Norm,
    Relative,
    Rotary,
    TransformerConfig,
    TransformerLM,
)

Recurrent = RecurrentConfig | ElmoConfig
"""Configurations without attention."""
Config = TransformerConfig | EncoderDecoderConfig | Recurrent
Network = TransformerLM | EncoderDecoder | RecurrentLM | ElmoLM


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The keys a `model` table may hold for a gradient-trained family, beside the axes of `models.axes`."""

    layers: int = 4
    """Of each stack."""
    hidden_size: int = 256
    heads: int = 4
    kv_heads: int | None = None
    head_size: int | None = None
    feed_forward_size: int | None = None
    """None: 8/3 of the hidden size, in whole 32s, when gated, else 4 times as much."""
    context: int = 512
    dropout: float = 0.0
    tied_embeddings: bool = True
    decoder_start_id: int | None = None
    """Encoder-decoder only: the id the decoder reads first."""
    empty_source: tuple[int, ...] | None = None
    """Encoder-decoder only: the ids of an empty text."""
    window: int = 4
    """Feed-forward only: tokens it predicts from."""
    softmax: Literal["full", "adaptive"] = "full"
    """Recurrent and feed-forward only; adaptive is for large vocabularies."""
    cutoffs: tuple[int, ...] = ()
    """Of an adaptive softmax: ids at which its clusters begin."""
    characters: Characters | None = None
    """ELMo only: tokens are read by their spelling, `{}` for the usual sizes."""

    def usual_size(self, gated: bool) -> int:
        """Of the feed-forward: gated or not, about as many weights."""
        whole = -(-self.hidden_size * 8 // 3 // 32) * 32
        return self.feed_forward_size or (whole if gated else 4 * self.hidden_size)


def _llama(sizes: Sizes, vocabulary_size: int) -> TransformerConfig:
    """RMSNorm, rotary positions, SwiGLU, grouped-query attention (Touvron et al. 2023, section 2.2)."""
    return TransformerConfig(
        vocabulary_size=vocabulary_size,
        hidden_size=sizes.hidden_size,
        layers=sizes.layers,
        context=sizes.context,
        attention=Attention(heads=sizes.heads, kv_heads=sizes.kv_heads, head_size=sizes.head_size),
        feed_forward=FeedForward(size=sizes.usual_size(gated=True)),
        norm=Norm(kind="rms"),
        positions=Rotary(),
        head=Head(tied=sizes.tied_embeddings),
        dropout=sizes.dropout,
    )


def _gpt2(sizes: Sizes, vocabulary_size: int) -> TransformerConfig:
    """LayerNorm, learned positions, GELU, biases (Radford et al. 2019, section 2.3)."""
    llama = _llama(sizes, vocabulary_size)
    return replace(
        llama,
        attention=replace(llama.attention, bias=True),
        feed_forward=FeedForward(size=sizes.usual_size(gated=False), activation="gelu-tanh", gated=False, bias=True),
        norm=Norm(kind="layer"),
        positions=Learned(),
    )


def _bert(sizes: Sizes, vocabulary_size: int) -> TransformerConfig:
    """GPT-2's parts seeing both ways, norms after the sums, segments (Devlin et al. 2019, section 3)."""
    gpt2 = _gpt2(sizes, vocabulary_size)
    return replace(
        gpt2,
        feed_forward=replace(gpt2.feed_forward, activation="gelu"),
        norm=Norm(kind="layer", place="post", epsilon=1e-12),
        embedding=Embedding(norm=True, segments=2),
        head=Head(tied=sizes.tied_embeddings, bias=True, transform="gelu"),
        mask="bidirectional",
    )


def _bart(sizes: Sizes, vocabulary_size: int) -> EncoderDecoderConfig:
    """BERT's layers and a decoder of the same kind (Lewis et al. 2020, section 2.1)."""
    decoder = replace(
        _bert(sizes, vocabulary_size),
        norm=Norm(kind="layer", place="post"),
        positions=Learned(offset=2),
        embedding=Embedding(norm=True),
        head=Head(tied=sizes.tied_embeddings, bias=True),
        mask="causal",
        cross_attention=True,
    )
    return _two_stacks(sizes, decoder)


def _t5(sizes: Sizes, vocabulary_size: int) -> EncoderDecoderConfig:
    """RMSNorm, relative positions, ReLU, no biases, unscaled scores and a start to suit (Raffel et al. 2020, 2.1)."""
    llama = _llama(sizes, vocabulary_size)
    scale = sizes.hidden_size**-0.5 if sizes.tied_embeddings else 1.0
    decoder = replace(
        llama,
        attention=replace(llama.attention, scale=1.0),
        feed_forward=FeedForward(size=sizes.usual_size(gated=False), activation="relu", gated=False),
        norm=Norm(kind="rms", epsilon=1e-6),
        positions=Relative(),
        head=Head(tied=sizes.tied_embeddings, scale=scale),
        cross_attention=True,
        initialisation=Initialisation(kind="t5"),
    )
    return _two_stacks(sizes, decoder)


def _two_stacks(sizes: Sizes, decoder: TransformerConfig) -> EncoderDecoderConfig:
    encoder = replace(decoder, head=None, mask="bidirectional", cross_attention=False)
    given = {"decoder_start_id": sizes.decoder_start_id, "empty_source": sizes.empty_source}
    ids: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return EncoderDecoderConfig(encoder=encoder, decoder=decoder, **ids)


def _recurrent(cell: str) -> Callable[[Sizes, int], RecurrentConfig]:
    def build(sizes: Sizes, vocabulary_size: int) -> RecurrentConfig:
        return RecurrentConfig(
            vocabulary_size=vocabulary_size,
            hidden_size=sizes.hidden_size,
            layers=sizes.layers,
            cell=cell,  # type: ignore[arg-type]  # a cell's name, below
            context=sizes.context,
            tied_embeddings=sizes.tied_embeddings,
            dropout=sizes.dropout,
            window=sizes.window,
            softmax=sizes.softmax,
            cutoffs=sizes.cutoffs,
        )

    return build


def _elmo(sizes: Sizes, vocabulary_size: int) -> ElmoConfig:
    """LSTMs of both directions over one embedding (Peters et al. 2018, section 3)."""
    return ElmoConfig(
        vocabulary_size=vocabulary_size,
        hidden_size=sizes.hidden_size,
        layers=sizes.layers,
        context=sizes.context,
        dropout=sizes.dropout,
        characters=sizes.characters,
    )


FAMILIES: dict[str, Callable[[Sizes, int], Config]] = {
    "llama": _llama,
    "gpt2": _gpt2,
    "bert": _bert,
    "bart": _bart,
    "t5": _t5,
    "lstm": _recurrent("lstm"),
    "gru": _recurrent("gru"),
    "elman": _recurrent("elman"),
    "rnn": _recurrent("elman"),
    "feed-forward": _recurrent("feed-forward"),
    "elmo": _elmo,
}
"""Families trained by gradient; the n-gram is counted (`models.ngram`)."""


def model_config(table: Mapping[str, Any], vocabulary_size: int) -> Config:
    """The configuration a `model` table describes; UserError for unknown families, keys and values."""
    table = dict(table)
    family = table.pop("family", None)
    if family not in FAMILIES:
        raise unknown_name("model family", str(family), FAMILIES)
    known = Sizes.__dataclass_fields__
    for key in table:
        if key not in known and key not in AXES:
            raise unknown_name(f"key of a {family} model", key, [*known, *AXES])
    axes = {key: value for key, value in table.items() if key in AXES}
    sizes: Sizes = read_option(Sizes, {key: value for key, value in table.items() if key in known}, None, "model")
    if sizes.feed_forward_size is None and isinstance(axes.get("gated"), bool):
        sizes = replace(sizes, feed_forward_size=sizes.usual_size(axes["gated"]))
    config = FAMILIES[family](sizes, vocabulary_size)
    if isinstance(config, Recurrent):
        refuse_axes(family, axes)
        return config
    return with_axes(config, axes)


def make_module(config: Config) -> Network:
    """The module of a configuration, its weights not yet set."""
    match config:
        case TransformerConfig():
            return TransformerLM(config)
        case EncoderDecoderConfig():
            return EncoderDecoder(config)
        case RecurrentConfig():
            return RecurrentLM(config)
        case ElmoConfig():
            return ElmoLM(config)


def build_model(table: Mapping[str, Any], vocabulary_size: int, seed: int = 0) -> Network:
    """A freshly initialised fp32 model; equal seeds give equal weights."""
    model = make_module(model_config(table, vocabulary_size))
    model.initialise(torch.Generator().manual_seed(seed))
    return model


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def parameter_count(table: Mapping[str, Any], vocabulary_size: int) -> int:
    """Parameters of the model a table describes, without allocating any."""
    with torch.device("meta"):
        return count_parameters(make_module(model_config(table, vocabulary_size)))
