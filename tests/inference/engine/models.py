"""Small models of every kind that decodes."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from fourfold.models import (
    CausalLM,
    EncoderDecoder,
    EncoderDecoderConfig,
    LowRankDelta,
    TransformerLM,
    build_model,
)
from fourfold.models.ngram import train_ngram
from fourfold.models.transformer import DynamicNTKScaling, FeedForward, Head, Relative, Rotary
from tests.models.packing import pack_in_bytes
from tests.models.transformer.axes import BASE

LONG = replace(BASE, context=256, layers=6, head=Head(tied=False))
PAGE_BYTES = 2 * 6 * 2 * 16 * 8 * 4
"""Of the small transformer: keys and values of 6 layers, 2 heads, 16 tokens, 8 numbers in fp32."""
COMPILED = replace(LONG, attention=replace(LONG.attention, head_size=16), feed_forward=FeedForward(size=64))
"""The smallest that the compiled stack knows."""
KINDS = ("llama", "window", "dynamic", "prefix", "encoder-decoder", "lstm", "feed-forward", "ngram")


def build(kind: str) -> CausalLM:
    """Weights large enough that the next token is no tie."""
    config = COMPILED if kind == "packed" else LONG
    if kind == "window":
        config = replace(LONG, attention=replace(LONG.attention, windows=(8,)))
    if kind == "dynamic":
        config = replace(LONG, positions=Rotary(scaling=DynamicNTKScaling(factor=2, original_context=32)))
    if kind == "prefix":
        config = replace(LONG, mask="prefix")
    if kind == "ngram":
        return ngram()
    if kind == "encoder-decoder":
        side = replace(LONG, positions=Relative(), layers=2)
        encoder = replace(side, mask="bidirectional", head=None)
        model = EncoderDecoder(EncoderDecoderConfig(encoder=encoder, decoder=replace(side, cross_attention=True)))
    elif kind in ("lstm", "feed-forward"):
        model = build_model({"family": kind, "layers": 2, "hidden_size": 32}, 50, seed=0)
    else:
        model = TransformerLM(config)
    if not hasattr(model, "cells"):
        model.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0) if parameter.dim() > 1 else None
    if kind == "packed":
        pack_in_bytes(model)
    if kind == "adapted":
        adapt(model)
    return model.eval()


def adapt(model: TransformerLM) -> None:
    """Two low-rank deltas in every layer's values."""
    generator = torch.Generator().manual_seed(1)
    for layer in model.stack.layers:
        linear = layer.attention.value
        for _ in range(2):
            delta = LowRankDelta(linear.in_size, linear.out_size, 2, 1.0)
            torch.nn.init.normal_(delta.down, generator=generator)
            torch.nn.init.normal_(delta.up, generator=generator)
            linear.deltas.append(delta)


def ngram() -> CausalLM:
    chance = random.Random(0)
    texts = [[chance.randrange(50) for _ in range(40)] for _ in range(20)]
    return train_ngram(texts, order=3, vocabulary_size=50, bos_id=0)
