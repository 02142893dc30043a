"""An architecture is a value: `TransformerConfig`, made of the options of `options.py`.

Nonsense is refused here, with the reason, so that whatever can be built also runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fourfold.errors import UserError
from fourfold.models.transformer.options import (
    Attention,
    Embedding,
    FeedForward,
    Head,
    Initialisation,
    Mask,
    NoPositions,
    Norm,
    Positions,
    Relative,
    Residual,
    Rotary,
    Sinusoidal,
    Task,
)

MOST, MOST_LAYERS = 2**31, 10_000
"""Sizes beyond these are mistakes in a file; believed, they would take all memory."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A stack of layers with what stands before and after it."""

    vocabulary_size: int
    hidden_size: int
    layers: int
    context: int
    attention: Attention
    feed_forward: FeedForward
    norm: Norm = field(default_factory=Norm)
    positions: Positions = field(default_factory=Rotary)
    local_positions: Positions | None = None
    """Of layers with a window, where they differ (Gemma 3); None: the same."""
    embedding: Embedding = field(default_factory=Embedding)
    head: Head | None = field(default_factory=Head)
    """None: no language-model head (a plain encoder)."""
    pooler: bool = False
    """A dense layer and tanh over the first token (BERT)."""
    task: Task | None = None
    """A classifier beside or instead of the head."""
    mask: Mask = "causal"
    """What a token may look at: the past; the past and the whole prefix; everything."""
    residual: Residual = "serial"
    """`parallel`: attention and feed-forward read the same stream, each through its own norm (GPT-NeoX), or
    through one (GPT-J, Phi)."""
    cross_attention: bool = False
    """Between the two sub-layers, attention to the encoder's output: a decoder of an encoder-decoder."""
    dropout: float = 0.0
    initialisation: Initialisation = field(default_factory=Initialisation)

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise problem

    @property
    def kv_heads(self) -> int:
        return self.attention.kv_heads or self.attention.heads

    @property
    def head_size(self) -> int:
        return self.attention.head_size or self.hidden_size // self.attention.heads

    @property
    def output_bias(self) -> bool:
        chosen = self.attention.output_bias
        return self.attention.bias if chosen is None else chosen

    @property
    def final_norm(self) -> bool:
        return self.norm.place not in ("post", "deep") if self.norm.final is None else self.norm.final

    @property
    def tied_embeddings(self) -> bool:
        return self.head is not None and self.head.tied

    @property
    def embedding_size(self) -> int:
        return self.embedding.size or self.hidden_size

    @property
    def rotary_size(self) -> int:
        """How many of a head's values turn."""
        share = self.positions.share if isinstance(self.positions, Rotary) else 1.0
        return int(self.head_size * share)

    def window(self, layer: int) -> int | None:
        """How many tokens back that layer sees, itself included; None: all."""
        return self.attention.windows[layer % len(self.attention.windows)]

    def layer_positions(self, layer: int) -> Positions:
        return self.positions if self.window(layer) is None else self.local_positions or self.positions


def _problems(config: TransformerConfig) -> Iterator[UserError]:
    """What is wrong with it, the plainest first."""
    yield from _size_problems(config)
    yield from _attention_problems(config)
    yield from _position_problems(config)
    norm, experts = config.norm, config.feed_forward.experts
    if config.residual != "serial" and norm.place != "pre":
        yield UserError(
            "parallel branches read one normed stream, so the norm must stand before them",
            expected="norm place pre", got=norm.place,
        )  # fmt: skip
    if config.residual != "serial" and config.cross_attention:
        yield UserError("cross-attention stands between the two sub-layers, so they cannot be parallel")
    if norm.kind == "rms" and not norm.bias:
        yield UserError("RMSNorm has no bias to leave out", expected="norm kind layer")
    if experts is not None and not 1 <= experts.active <= experts.count:
        yield UserError("active experts are out of range", expected=f"1 to {experts.count}", got=experts.active)
    if config.mask != "causal" and config.cross_attention:
        yield UserError("a decoder with cross-attention is causal", got=f"mask {config.mask}")
    if config.task is not None and config.task.classes < 1:
        yield UserError("task classes are out of range", expected="at least 1", got=config.task.classes)
    if config.task is not None and config.task.kind == "span" and config.task.classes != 2:
        yield UserError("a span has two ends", expected="2 classes", got=config.task.classes)
    if config.head is None and config.mask != "bidirectional" and config.task is None and config.pooler:
        yield UserError("a pooler reads the first token, which sees nothing under this mask", got=config.mask)
    if not 0 <= config.dropout < 1:
        yield UserError("model option dropout is out of range", expected="0 to below 1", got=config.dropout)


def _size_problems(config: TransformerConfig) -> Iterator[UserError]:
    sizes = {
        "vocabulary_size": config.vocabulary_size,
        "hidden_size": config.hidden_size,
        "layers": config.layers,
        "context": config.context,
        "heads": config.attention.heads,
        "kv_heads": config.kv_heads,
        "feed-forward size": config.feed_forward.size,
        "embedding size": config.embedding_size,
    }
    for name, value in sizes.items():
        most = MOST_LAYERS if name == "layers" else MOST
        if not 1 <= value <= most:
            yield UserError(f"model option {name} is out of range", expected=f"1 to {most:,}", got=value)


def _attention_problems(config: TransformerConfig) -> Iterator[UserError]:
    attention = config.attention
    if attention.head_size is None and config.hidden_size % attention.heads:
        yield UserError(
            "hidden_size does not split over the heads",
            expected=f"a multiple of {attention.heads}", got=config.hidden_size,
        )  # fmt: skip
    if attention.heads % config.kv_heads:
        yield UserError("heads must be a multiple of kv_heads", got=f"{attention.heads} and {config.kv_heads}")
    if not attention.windows or any(window is not None and window < 1 for window in attention.windows):
        yield UserError("attention windows are out of range", expected="at least 1 token", got=attention.windows)
    if config.mask == "prefix" and any(attention.windows):
        yield UserError("a prefix is seen whole, which a sliding window forbids", got=attention.windows)
    if attention.softcap is not None and attention.softcap <= 0:
        yield UserError("attention softcap is out of range", expected="above 0", got=attention.softcap)


def _position_problems(config: TransformerConfig) -> Iterator[UserError]:
    for positions in (config.positions, config.local_positions):
        if isinstance(positions, Rotary):
            turning = int(config.head_size * positions.share)
            if turning < 2 or turning % 2 or turning > config.head_size:
                yield UserError("rotary positions turn an even part of a head", got=f"{turning} of {config.head_size}")
    if config.local_positions is not None and not isinstance(config.local_positions, Rotary):
        yield UserError("only rotary positions differ between local and global layers", got=config.local_positions)
    if isinstance(config.positions, Sinusoidal) and config.embedding_size % 2:
        yield UserError("sinusoidal positions need an even embedding size", got=config.embedding_size)
    if isinstance(config.positions, NoPositions) and config.mask == "bidirectional":
        yield UserError(
            "without positions an encoder sees a bag of tokens: only a causal mask tells their order",
            expected="any position encoding", got="none",
        )  # fmt: skip
    if isinstance(config.positions, Relative) and (config.positions.buckets < 4 or config.positions.buckets % 4):
        yield UserError("relative buckets are out of range", expected="a multiple of 4", got=config.positions.buckets)
