"""One spelling of each architecture, so that equal ones compare equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fourfold.models.transformer import EncoderDecoderConfig, Experts, Initialisation, TransformerConfig

Config = TransformerConfig | EncoderDecoderConfig


def normal(config: Config) -> Config:
    """The configuration with every default spelled as None, without what only training reads."""
    if isinstance(config, EncoderDecoderConfig):
        return replace(config, encoder=_normal_stack(config.encoder), decoder=_normal_stack(config.decoder))
    return _normal_stack(config)


def _normal_stack(config: TransformerConfig) -> TransformerConfig:
    attention, norm, experts = config.attention, config.norm, config.feed_forward.experts
    windows = shortest_cycle([config.window(layer) for layer in range(config.layers)])
    usual_end = replace(config, norm=replace(norm, final=None)).final_norm
    if experts is not None:
        losses = Experts(count=experts.count)
        experts = replace(experts, balance_weight=losses.balance_weight, z_weight=losses.z_weight)
    return replace(
        config,
        attention=replace(
            attention,
            kv_heads=unless(attention.kv_heads, attention.heads),
            head_size=unless(attention.head_size, config.hidden_size // attention.heads),
            output_bias=None if config.output_bias == attention.bias else config.output_bias,
            windows=windows,
        ),
        feed_forward=replace(config.feed_forward, experts=experts),
        norm=replace(norm, final=None if config.final_norm == usual_end else config.final_norm),
        embedding=replace(config.embedding, size=unless(config.embedding.size, config.hidden_size)),
        local_positions=config.local_positions if any(windows) else None,
        dropout=0.0,
        initialisation=Initialisation(),
    )


def shortest_cycle(windows: Sequence[int | None]) -> tuple[int | None, ...]:
    """The shortest run of layers that repeats to make all of them."""
    for length in range(1, len(windows)):
        if all(window == windows[index % length] for index, window in enumerate(windows)):
            return tuple(windows[:length])
    return tuple(windows)


def unless(value: int | None, usual: int) -> int | None:
    """None for the usual value, so that equal architectures are equal configurations."""
    return None if value == usual else value
