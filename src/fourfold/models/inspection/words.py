"""An architecture in words: the columns of the survey's table of configurations, from the configuration itself."""

from __future__ import annotations

from fourfold.models.inspection.counting import stacks
from fourfold.models.transformer import (
    ALiBi,
    EncoderDecoderConfig,
    Learned,
    NoPositions,
    Positions,
    Relative,
    Rotary,
    Sinusoidal,
    TransformerConfig,
)

ARCHITECTURES = {"causal": "causal decoder", "prefix": "prefix decoder", "bidirectional": "encoder"}
RESIDUALS = {"serial": "", "parallel": ", parallel branches", "parallel-one-norm": ", parallel branches with one norm"}
GATED = {"silu": "SwiGLU", "gelu": "GeGLU", "gelu-tanh": "GeGLU", "relu": "ReGLU", "tanh": "gated tanh"}
PLAIN = {"silu": "SiLU", "gelu": "GELU", "gelu-tanh": "GELU (tanh)", "relu": "ReLU", "tanh": "tanh"}


def in_words(config: TransformerConfig | EncoderDecoderConfig) -> dict[str, str]:
    """Architecture, norm, positions, attention, feed-forward, biases; of an encoder-decoder those of its decoder."""
    pair = isinstance(config, EncoderDecoderConfig)
    decoder = stacks(config)[-1]
    return {
        "architecture": "encoder-decoder" if pair else ARCHITECTURES[decoder.mask],
        "norm": _norm(decoder),
        "positions": _positions(decoder),
        "attention": _attention(decoder),
        "feed-forward": _feed_forward(decoder),
        "biases": _biases(decoder),
        "embeddings": "tied" if config.tied_embeddings else "untied" if decoder.head is not None else "no head",
    }


def _norm(config: TransformerConfig) -> str:
    kind = {"rms": "RMSNorm", "layer": "LayerNorm"}[config.norm.kind]
    place = "DeepNorm" if config.norm.place == "deep" else config.norm.place
    return f"{place} {kind}{RESIDUALS[config.residual]}" if place != "DeepNorm" else f"DeepNorm ({kind})"


def _positions(config: TransformerConfig) -> str:
    first = _scheme(config.positions)
    return first if config.local_positions is None else f"{first}; in windows {_scheme(config.local_positions)}"


def _scheme(positions: Positions) -> str:
    match positions:
        case Rotary():
            share = "" if positions.share == 1.0 else f" on {positions.share:.0%} of a head"
            scaled = "" if positions.scaling is None else f", scaled by {positions.scaling.factor:g}"
            return f"rotary, base {positions.base:,.0f}{share}{scaled}"
        case Learned():
            return "learned"
        case Sinusoidal():
            return "sinusoidal"
        case Relative():
            return f"relative, {positions.buckets} buckets"
        case ALiBi():
            return "ALiBi"
        case NoPositions():
            return "none"


def _attention(config: TransformerConfig) -> str:
    heads, shared = config.attention.heads, config.kv_heads
    kind = "multi-head" if shared == heads else "multi-query" if shared == 1 else f"grouped-query ({shared})"
    windows = config.attention.windows
    words = [f"{kind}, {heads} heads of {config.head_size}"]
    if any(windows):
        sizes = ", ".join("all" if window is None else f"{window:,}" for window in dict.fromkeys(windows))
        words.append(f"windows {sizes}")
    if config.attention.norm is not None:
        words.append("normed queries and keys")
    if config.attention.softcap is not None:
        words.append(f"scores capped at {config.attention.softcap:g}")
    return ", ".join(words)


def _feed_forward(config: TransformerConfig) -> str:
    options = config.feed_forward
    name = (GATED if options.gated else PLAIN)[options.activation]
    experts = options.experts
    return f"{name} {options.size:,}" + ("" if experts is None else f", {experts.active} of {experts.count} experts")


def _biases(config: TransformerConfig) -> str:
    attention, feed_forward = config.attention.bias, config.feed_forward.bias
    if attention and feed_forward:
        return "everywhere" if config.output_bias else "all but the output projection"
    if attention:
        return "query, key and value"
    return "feed-forward" if feed_forward else "none"
