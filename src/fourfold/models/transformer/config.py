"""An architecture is a value: `TransformerConfig` and the options it is made of.

Options live with the choice they belong to (`positions=Rotary(base=…)`), so a
new variant is a new value here and a few lines where the value is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fourfold.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Norm:
    """RMSNorm (Zhang & Sennrich 2019) or LayerNorm (Ba et al. 2016), placed before each sub-layer."""

    kind: Literal["rms", "layer"] = "rms"
    epsilon: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Rotary position embedding (Su et al. 2021, section 3.4), rotate-half layout."""

    base: float = 10_000.0


@dataclass(frozen=True, kw_only=True)
class Learned:
    """One trained vector a position, added to the embedding (GPT-2)."""


Positions = Rotary | Learned


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Multi-head attention; fewer `kv_heads` make it grouped-query (Ainslie et al. 2023), one multi-query."""

    heads: int
    kv_heads: int | None = None
    """None: as many as `heads`."""
    head_size: int | None = None
    """None: hidden size / heads."""
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """Two projections, or three when `gated` (SwiGLU is gated silu; Shazeer 2020)."""

    size: int
    activation: Literal["silu", "gelu", "gelu-tanh", "relu"] = "silu"
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A decoder-only language model. Sizes are positive; `hidden_size` splits evenly over the heads."""

    vocabulary_size: int
    hidden_size: int
    layers: int
    context: int
    attention: Attention
    feed_forward: FeedForward
    norm: Norm = field(default_factory=Norm)
    positions: Positions = field(default_factory=Rotary)
    tied_embeddings: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        sizes = {
            "vocabulary_size": self.vocabulary_size,
            "hidden_size": self.hidden_size,
            "layers": self.layers,
            "context": self.context,
            "heads": self.attention.heads,
            "kv_heads": self.kv_heads,
            "feed-forward size": self.feed_forward.size,
        }
        for name, value in sizes.items():
            if value < 1:
                raise UserError(f"model option {name} is out of range", expected="at least 1", got=value)
        if self.attention.head_size is None and self.hidden_size % self.attention.heads:
            raise UserError(
                "hidden_size does not split over the heads",
                expected=f"a multiple of {self.attention.heads}",
                got=self.hidden_size,
            )
        if self.attention.heads % self.kv_heads:
            raise UserError("heads must be a multiple of kv_heads", got=f"{self.attention.heads} and {self.kv_heads}")
        if isinstance(self.positions, Rotary) and self.head_size % 2:
            raise UserError("rotary positions need an even head size", got=self.head_size)

    @property
    def kv_heads(self) -> int:
        return self.attention.kv_heads or self.attention.heads

    @property
    def head_size(self) -> int:
        return self.attention.head_size or self.hidden_size // self.attention.heads
