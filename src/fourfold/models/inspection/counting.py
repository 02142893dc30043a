"""Parameters, operations and key-value bytes of a configuration, by arithmetic: nothing is allocated.

Letters: V vocabulary size, E width of the embedding, D hidden size, F feed-forward size, I heads x head size,
G kv heads x head size, L layers, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fourfold.models.elmo import ElmoConfig
from fourfold.models.registry import Config, Recurrent, make_module
from fourfold.models.transformer import (
    EncoderDecoderConfig,
    Learned,
    Relative,
    TransformerConfig,
)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Parameters of a configuration."""

    total: int
    """Every distinct weight; a tied head is counted once."""
    active: int
    """Those a token meets: all but the experts it is not sent to."""
    in_products: int
    """Active weights a token is multiplied with: all but tables that are only looked up."""
    embedding: int
    """Weights over the vocabulary: the table of tokens and an output matrix of its own."""


def count(config: Config) -> Counts:
    """Count every weight of the module this configuration makes."""
    if isinstance(config, Recurrent):
        return _count_recurrent(config)
    parts = parameters_by_part(config)
    total = sum(parts.values())
    idle = sum(_idle_experts(stack) for stack in stacks(config))
    table = config.vocabulary_size * _width(config)
    tied = config.tied_embeddings
    looked_up = (0 if tied else table) + sum(parts.get(part, 0) for part in ("positions", "segments"))
    return Counts(
        total=total,
        active=total - idle,
        in_products=total - idle - looked_up,
        embedding=table * (1 if tied or not _has_head(config) else 2),
    )


def parameters_by_part(config: TransformerConfig | EncoderDecoderConfig) -> dict[str, int]:
    """Parameters by what they are part of; parts that are absent are left out."""
    parts: dict[str, int] = {}
    for name, number in _parts(config):
        parts[name] = parts.get(name, 0) + number
    return {name: number for name, number in parts.items() if number}


def stacks(config: TransformerConfig | EncoderDecoderConfig) -> tuple[TransformerConfig, ...]:
    """The one stack, or encoder and decoder."""
    return (config,) if isinstance(config, TransformerConfig) else (config.encoder, config.decoder)


def forward_flops(config: Config, row: int) -> float:
    """Floating-point operations a token costs in reading, in rows of `row` tokens.

    2 a weight in products (Kaplan et al. 2020, section 2.1) and 4 I T a layer for attention (Chowdhery et al. 2022,
    appendix B, who like us do not take off the half a causal mask saves), T at most a window. Of an encoder-decoder
    a row is `row` source and as many target tokens, and the number is the mean over both kinds.
    """
    return sum(forward_flops_by_operator(config, row).values())


def forward_flops_by_operator(config: Config, row: int) -> dict[str, float]:
    """The same, by what does them; operators that are absent are left out."""
    if isinstance(config, Recurrent):
        head = 2.0 * config.vocabulary_size * config.hidden_size
        recurrence = 2.0 * count(config).in_products - head
        return {"recurrence": recurrence, "head": head * (2 if isinstance(config, ElmoConfig) else 1)}
    parts = parameters_by_part(config)
    parts["feed-forward"] -= sum(_idle_experts(stack) for stack in stacks(config))
    table = config.vocabulary_size * _width(config)
    if config.tied_embeddings:  # the table is looked up, and multiplied with as the head
        parts["head"] = parts.get("head", 0) + table
    parts["embedding"] -= table
    multiplied = {name: 2.0 * size for name, size in parts.items() if name not in ("positions", "segments") and size}
    multiplied["attention scores"] = sum(_attention_flops(stack, row) for stack in stacks(config))
    return {name: flops / len(stacks(config)) for name, flops in multiplied.items()}


def kv_bytes(config: Config, tokens: int = 1, size: int = 2) -> int:
    """Bytes that keys and values of so many tokens take, `size` bytes a number; a recurrent memory does not grow.

    An encoder-decoder keeps those of its decoder's tokens and of as many source tokens.
    """
    if isinstance(config, ElmoConfig):
        return 0
    if isinstance(config, Recurrent):
        return 2 * config.layers * config.hidden_size * size
    decoder = stacks(config)[-1]
    if decoder.mask == "bidirectional":
        return 0
    kinds = 2 if decoder.cross_attention else 1
    return kinds * 2 * decoder.layers * decoder.kv_heads * decoder.head_size * tokens * size


def _attention_flops(config: TransformerConfig, row: int) -> float:
    inner = config.attention.heads * config.head_size
    seen = sum(min(row, config.window(layer) or row) for layer in range(config.layers))
    return 4.0 * inner * (seen + (config.layers * row if config.cross_attention else 0))


def _parts(config: TransformerConfig | EncoderDecoderConfig) -> Iterator[tuple[str, int]]:
    hidden, width = config.hidden_size, _width(config)
    yield "embedding", config.vocabulary_size * width
    for stack in stacks(config):
        yield from _stack(stack)
    decoder = stacks(config)[-1]
    if decoder.head is not None:
        transformed = decoder.head.transform is not None
        if transformed or width != hidden:
            yield "head", hidden * width + (width if transformed else 0)
        yield "norms", _norm(decoder, width) if transformed else 0
        yield "head", 0 if decoder.head.tied else config.vocabulary_size * width
        yield "head", config.vocabulary_size if decoder.head.bias else 0
    if isinstance(config, TransformerConfig):
        yield "pooler", hidden * hidden + hidden if config.pooler else 0
        if config.task is not None:
            yield "task", hidden * hidden + hidden if config.task.transform is not None else 0
            yield "task", (hidden + config.task.bias) * config.task.classes


def _stack(config: TransformerConfig) -> Iterator[tuple[str, int]]:
    """All of a stack but its table of tokens, which an encoder-decoder has once."""
    hidden, width, options = config.hidden_size, config.embedding_size, config.embedding
    yield "segments", options.segments * width
    yield "norms", _norm(config, width) if options.norm else 0
    if width != hidden:
        yield "embedding projection", width * hidden + (hidden if options.projection_bias else 0)
    if isinstance(config.positions, Learned):
        yield "positions", (config.context + config.positions.offset) * (width if options.norm else hidden)
    if isinstance(config.positions, Relative):
        yield "positions", config.positions.buckets * config.attention.heads
    for name, number in _layer(config):
        yield name, config.layers * number
    yield "norms", _norm(config, hidden) if config.final_norm else 0


def _layer(config: TransformerConfig) -> Iterator[tuple[str, int]]:
    """One layer, as `Block` is made."""
    norms = 1 if config.residual == "parallel-one-norm" else 2
    norms += 1 if config.cross_attention else 0
    norms *= 2 if config.norm.place == "sandwich" else 1
    yield "norms", norms * _norm(config, config.hidden_size)
    yield "attention", _attention(config)
    if config.cross_attention:
        yield "cross-attention", _attention(config)
    experts = config.feed_forward.experts
    if experts is None:
        yield "feed-forward", _feed_forward(config, config.feed_forward.size)
        return
    yield "router", config.hidden_size * experts.count
    yield "feed-forward", experts.count * _feed_forward(config, config.feed_forward.size)
    yield "feed-forward", _feed_forward(config, experts.shared_size) if experts.shared_size else 0


def _attention(config: TransformerConfig) -> int:
    hidden, options = config.hidden_size, config.attention
    inner, grouped = options.heads * config.head_size, config.kv_heads * config.head_size
    weights = 2 * hidden * inner + 2 * hidden * grouped
    biases = (inner + 2 * grouped if options.bias else 0) + (hidden if config.output_bias else 0)
    normed = {None: (), "head": (config.head_size, config.head_size), "full": (inner, grouped)}[options.norm]
    return weights + biases + sum(_norm(config, size) for size in normed)


def _feed_forward(config: TransformerConfig, size: int) -> int:
    products, hidden = (3 if config.feed_forward.gated else 2), config.hidden_size
    return products * hidden * size + ((products - 1) * size + hidden if config.feed_forward.bias else 0)


def _norm(config: TransformerConfig, size: int) -> int:
    return size * (2 if config.norm.kind == "layer" and config.norm.bias else 1)


def _idle_experts(config: TransformerConfig) -> int:
    experts = config.feed_forward.experts
    if experts is None:
        return 0
    return config.layers * (experts.count - experts.active) * _feed_forward(config, config.feed_forward.size)


def _width(config: TransformerConfig | EncoderDecoderConfig) -> int:
    return stacks(config)[0].embedding_size


def _has_head(config: TransformerConfig | EncoderDecoderConfig) -> bool:
    return stacks(config)[-1].head is not None


def _count_recurrent(config: Recurrent) -> Counts:
    import torch

    with torch.device("meta"):
        total = sum(parameter.numel() for parameter in make_module(config).parameters())
    table = config.vocabulary_size * config.hidden_size
    tied = config.characters is None if isinstance(config, ElmoConfig) else config.tied
    spelt = isinstance(config, ElmoConfig) and not tied  # no table to look up
    return Counts(
        total=total,
        active=total,
        in_products=total - (0 if tied or spelt else table),
        embedding=table * (1 if tied or spelt else 2),
    )
