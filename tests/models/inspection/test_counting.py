"""Counts by arithmetic against the module itself on the meta device, and against sums worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fourfold.models import EncoderDecoder, EncoderDecoderConfig, TransformerConfig, TransformerLM, model_config
from fourfold.models.inspection import count, forward_flops, kv_bytes, parameters_by_part
from fourfold.models.transformer import (
    ALiBi,
    Attention,
    Embedding,
    Experts,
    FeedForward,
    Head,
    Learned,
    NoPositions,
    Norm,
    Relative,
    Rotary,
    Sinusoidal,
    Task,
)

BASE = TransformerConfig(
    vocabulary_size=97,
    hidden_size=24,
    layers=3,
    context=40,
    attention=Attention(heads=6, kv_heads=2),
    feed_forward=FeedForward(size=56),
)
LAYER = Norm(kind="layer")
AXES: dict[str, dict[str, Any]] = {
    "base": {},
    "untied": {"head": Head(tied=False)},
    "head bias": {"head": Head(bias=True)},
    "head transform": {"head": Head(bias=True, transform="gelu"), "norm": LAYER},
    "narrow embedding": {"embedding": Embedding(size=16)},
    "narrow embedding, untied": {"embedding": Embedding(size=16), "head": Head(tied=False)},
    "narrow embedding with a norm": {
        "embedding": Embedding(size=16, norm=True, projection_bias=True, segments=2),
        "positions": Learned(),
        "head": None,
        "mask": "bidirectional",
    },
    "narrow embedding with positions": {"embedding": Embedding(size=16), "positions": Learned(offset=2)},
    "segments": {"embedding": Embedding(segments=3, norm=True), "norm": LAYER},
    "layer norm": {"norm": LAYER},
    "layer norm without bias": {"norm": replace(LAYER, bias=False)},
    "post": {"norm": Norm(place="post")},
    "sandwich": {"norm": Norm(place="sandwich")},
    "output": {"norm": Norm(place="output")},
    "deep": {"norm": Norm(kind="layer", place="deep")},
    "no final norm": {"norm": Norm(final=False)},
    "a final norm after post": {"norm": Norm(place="post", final=True)},
    "head norms": {"attention": Attention(heads=6, kv_heads=2, norm="head")},
    "full norms": {"attention": Attention(heads=6, kv_heads=2, norm="full"), "norm": LAYER},
    "biases": {"attention": Attention(heads=6, kv_heads=3, bias=True), "feed_forward": FeedForward(size=56, bias=True)},
    "query biases": {"attention": Attention(heads=6, bias=True, output_bias=False)},
    "output bias": {"attention": Attention(heads=6, output_bias=True)},
    "wide heads": {"attention": Attention(heads=5, kv_heads=1, head_size=8)},
    "windows": {"attention": Attention(heads=6, windows=(8, None)), "local_positions": Rotary(base=1e4)},
    "plain feed-forward": {"feed_forward": FeedForward(size=56, gated=False, bias=True, activation="relu")},
    "learned": {"positions": Learned(offset=2)},
    "sinusoidal": {"positions": Sinusoidal()},
    "relative": {"positions": Relative(buckets=16)},
    "alibi": {"positions": ALiBi()},
    "no positions": {"positions": NoPositions()},
    "parallel": {"residual": "parallel"},
    "parallel, one norm": {"residual": "parallel-one-norm", "norm": LAYER},
    "experts": {"feed_forward": FeedForward(size=40, experts=Experts(count=5, active=2), bias=True)},
    "shared expert": {"feed_forward": FeedForward(size=40, experts=Experts(count=5, active=1, shared_size=24))},
    "pooler and sequence task": {"pooler": True, "mask": "bidirectional", "task": Task(kind="sequence", classes=3)},
    "token task": {"head": None, "task": Task(kind="token", classes=1, transform="gelu"), "mask": "bidirectional"},
    "task without bias": {"head": None, "task": Task(kind="sequence", classes=4, bias=False)},
}
PAIRS: dict[str, dict[str, Any]] = {
    "t5": {"positions": Relative(), "head": Head(tied=False)},
    "bart": {
        "positions": Learned(offset=2),
        "norm": Norm(kind="layer", place="post"),
        "embedding": Embedding(norm=True),
        "attention": Attention(heads=6, bias=True),
        "head": Head(bias=True),
    },
    "sandwich": {"norm": Norm(place="sandwich"), "attention": Attention(heads=6, norm="full")},
}


def pair(changes: dict[str, Any]) -> EncoderDecoderConfig:
    """An encoder-decoder of two layers above and three below."""
    decoder = replace(BASE, **changes, cross_attention=True)
    encoder = replace(BASE, **{**changes, "head": None}, mask="bidirectional", layers=2)
    return EncoderDecoderConfig(encoder=encoder, decoder=decoder)


def allocated(config: TransformerConfig | EncoderDecoderConfig) -> int:
    with torch.device("meta"):
        made = TransformerLM(config) if isinstance(config, TransformerConfig) else EncoderDecoder(config)
        return sum(parameter.numel() for parameter in made.parameters())


@pytest.mark.parametrize("name", AXES)
def test_every_axis_is_counted_as_the_module_is_made(name: str) -> None:
    config = replace(BASE, **AXES[name])
    assert count(config).total == allocated(config) == sum(parameters_by_part(config).values())


@pytest.mark.parametrize("name", PAIRS)
def test_encoder_decoders_are_counted_as_the_module_is_made(name: str) -> None:
    assert count(pair(PAIRS[name])).total == allocated(pair(PAIRS[name]))


def test_a_recurrent_model_is_counted() -> None:
    config = model_config(
        {"family": "lstm", "layers": 2, "hidden_size": 8, "context": 16, "tied_embeddings": False}, 10
    )
    counts = count(config)
    assert counts.total - counts.in_products == 10 * 8
    assert kv_bytes(config, 1) == kv_bytes(config, 100)


def test_only_chosen_experts_are_active() -> None:
    config = replace(BASE, feed_forward=FeedForward(size=40, experts=Experts(count=8, active=2, shared_size=16)))
    counts = count(config)
    assert counts.total - counts.active == 3 * 6 * (3 * 24 * 40)
    dense = count(replace(BASE, feed_forward=FeedForward(size=2 * 40 + 16)))
    assert counts.active == dense.total + 3 * 8 * 24  # and the routers


def test_tables_that_are_only_looked_up_cost_no_products() -> None:
    learned = count(replace(BASE, positions=Learned(), head=Head(tied=False), embedding=Embedding(segments=2)))
    assert learned.total - learned.in_products == (97 + 40 + 2) * 24
    assert learned.embedding == 2 * 97 * 24
    assert count(BASE).total == count(BASE).in_products


def test_forward_flops_by_hand() -> None:
    products = 2 * count(BASE).in_products
    assert forward_flops(BASE, 40) == products + 4 * 3 * 24 * 40
    windows = replace(BASE, attention=Attention(heads=6, kv_heads=2, windows=(8, None)))
    assert forward_flops(windows, 40) == products + 4 * 24 * (8 + 40 + 8)
    assert forward_flops(windows, 4) == products + 4 * 3 * 24 * 4


def test_forward_flops_of_an_encoder_decoder_are_the_mean_of_its_two_kinds_of_token() -> None:
    config = pair({})
    attention = 4 * 24 * 10 * (2 + 3 + 3)  # two layers of the encoder, three of the decoder, three across
    assert forward_flops(config, 10) == (2 * count(config).in_products + attention) / 2


def test_key_value_bytes_by_hand() -> None:
    assert kv_bytes(BASE) == 2 * 3 * 2 * 4 * 2
    assert kv_bytes(BASE, 7, 4) == 2 * 3 * 2 * 4 * 7 * 4
    assert kv_bytes(pair({})) == 2 * kv_bytes(BASE)
    assert kv_bytes(replace(BASE, mask="bidirectional")) == 0
