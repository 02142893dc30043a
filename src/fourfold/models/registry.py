"""From the `model = {…}` table of a recipe to a module: which families can be built from sizes.

The table names a family and its sizes; unknown keys are refused with the nearest right one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from fourfold.errors import UserError, unknown_name
from fourfold.models.recurrent import RecurrentConfig, RecurrentLM
from fourfold.models.transformer import (
    Attention,
    FeedForward,
    Head,
    Learned,
    Norm,
    Rotary,
    TransformerConfig,
    TransformerLM,
)

Config = TransformerConfig | RecurrentConfig


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The keys a `model` table may hold for a gradient-trained family."""

    layers: int = 4
    hidden_size: int = 256
    heads: int = 4
    kv_heads: int | None = None
    feed_forward_size: int | None = None
    """None: the family's usual multiple of the hidden size."""
    context: int = 512
    dropout: float = 0.0
    tied_embeddings: bool = True


def _llama(sizes: Sizes, vocabulary_size: int) -> TransformerConfig:
    """RMSNorm, rotary positions, SwiGLU, grouped-query attention (Touvron et al. 2023, section 2.2)."""
    usual = -(-sizes.hidden_size * 8 // 3 // 32) * 32
    return TransformerConfig(
        vocabulary_size=vocabulary_size,
        hidden_size=sizes.hidden_size,
        layers=sizes.layers,
        context=sizes.context,
        attention=Attention(heads=sizes.heads, kv_heads=sizes.kv_heads),
        feed_forward=FeedForward(size=sizes.feed_forward_size or usual),
        norm=Norm(kind="rms"),
        positions=Rotary(),
        head=Head(tied=sizes.tied_embeddings),
        dropout=sizes.dropout,
    )


def _gpt2(sizes: Sizes, vocabulary_size: int) -> TransformerConfig:
    """LayerNorm, learned positions, GELU, biases (Radford et al. 2019, section 2.3)."""
    return replace(
        _llama(sizes, vocabulary_size),
        attention=Attention(heads=sizes.heads, kv_heads=sizes.kv_heads, bias=True),
        feed_forward=FeedForward(
            size=sizes.feed_forward_size or 4 * sizes.hidden_size, activation="gelu-tanh", gated=False, bias=True
        ),
        norm=Norm(kind="layer"),
        positions=Learned(),
    )


def _recurrent(cell: str) -> Callable[[Sizes, int], RecurrentConfig]:
    def build(sizes: Sizes, vocabulary_size: int) -> RecurrentConfig:
        return RecurrentConfig(
            vocabulary_size=vocabulary_size,
            hidden_size=sizes.hidden_size,
            layers=sizes.layers,
            cell=cell,  # type: ignore[arg-type]  # one of the three keys below
            context=sizes.context,
            tied_embeddings=sizes.tied_embeddings,
            dropout=sizes.dropout,
        )

    return build


FAMILIES: dict[str, Callable[[Sizes, int], Config]] = {
    "llama": _llama,
    "gpt2": _gpt2,
    "lstm": _recurrent("lstm"),
    "gru": _recurrent("gru"),
    "elman": _recurrent("elman"),
}
"""Families trained by gradient; the n-gram is counted (`models.ngram`)."""


def model_config(table: Mapping[str, Any], vocabulary_size: int) -> Config:
    """The configuration a `model` table describes; UserError for unknown families, keys and sizes."""
    table = dict(table)
    family = table.pop("family", None)
    if family not in FAMILIES:
        raise unknown_name("model family", str(family), FAMILIES)
    known = Sizes.__dataclass_fields__
    for key, value in table.items():
        if key not in known:
            raise unknown_name(f"key of a {family} model", key, known)
        if isinstance(value, bool) != (key == "tied_embeddings") or not isinstance(value, int | float):
            raise UserError(f"model option {key} has the wrong type", got=repr(value))
    return FAMILIES[family](Sizes(**table), vocabulary_size)


def make_module(config: Config) -> TransformerLM | RecurrentLM:
    """The module of a configuration, its weights not yet set."""
    return TransformerLM(config) if isinstance(config, TransformerConfig) else RecurrentLM(config)


def build_model(table: Mapping[str, Any], vocabulary_size: int, seed: int = 0) -> TransformerLM | RecurrentLM:
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
