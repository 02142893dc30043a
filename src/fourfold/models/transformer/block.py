"""One transformer layer: attention and feed-forward, each on its own residual branch.

    x ──┬─ norm ─ attention ──┬── + ──┬─ norm ─ feed-forward ─┬── + ──►
        └─────────────────────┘       └───────────────────────┘

Letters: B rows, T tokens, D hidden size, H heads, G key-value heads, P head size, S keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.linear import Linear
from fourfold.models.transformer.cache import KeyValueCache
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.norms import make_norm
from fourfold.models.transformer.positions import Rotation, rotate

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """What every layer of one model call shares."""

    rotation: Rotation | None
    mask: Tensor | None
    """(B, 1, T, S), True where a query may look; None: causal, or a single query that sees all."""
    cache: KeyValueCache | None
    adapters: int | Tensor | None


class AttentionLayer(nn.Module):
    """softmax(Q K^T / sqrt(P)) V per head (Vaswani et al. 2017, section 3.2), grouped keys and values."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        inner, grouped = config.attention.heads * config.head_size, config.kv_heads * config.head_size
        bias = config.attention.bias
        self.query = Linear(config.hidden_size, inner, bias)
        self.key = Linear(config.hidden_size, grouped, bias)
        self.value = Linear(config.hidden_size, grouped, bias)
        self.output = Linear(inner, config.hidden_size, bias)
        self.head_size = config.head_size
        self.groups = config.attention.heads // config.kv_heads
        self.index = index

    def forward(self, x: Tensor, call: Call) -> Tensor:
        rows, length, _ = x.shape
        query, key, value = (
            layer(x, call.adapters).view(rows, length, -1, self.head_size).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )  # (B, H, T, P), (B, G, T, P) twice
        if call.rotation is not None:
            query, key = rotate(query, call.rotation), rotate(key, call.rotation)
        if call.cache is not None:
            key, value = call.cache.append(self.index, key, value)
        mixed = self.mix(query, key, value, call.mask)
        output: Tensor = self.output(mixed.transpose(1, 2).reshape(rows, length, -1), call.adapters)
        return output

    def mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """(B, H, T, P) weighted values."""
        rows, heads, length, size = query.shape
        if length == 1:  # one query a group of heads: fold the group into rows of queries, copy no key
            folded = query.reshape(rows, heads // self.groups, self.groups, size)
            return F.scaled_dot_product_attention(folded, key, value, mask).reshape(rows, heads, 1, size)
        if self.groups > 1:
            key, value = (t.repeat_interleave(self.groups, dim=1) for t in (key, value))
        return F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None)


class FeedForwardLayer(nn.Module):
    """`down(activation(up x))`, or `down(activation(gate x) * up x)` when gated (Shazeer 2020, eq. 6)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size, bias = config.feed_forward.size, config.feed_forward.bias
        self.gate = Linear(config.hidden_size, size, bias) if config.feed_forward.gated else None
        self.up = Linear(config.hidden_size, size, bias)
        self.down = Linear(size, config.hidden_size, bias)
        self.activation = ACTIVATIONS[config.feed_forward.activation]

    def forward(self, x: Tensor, adapters: int | Tensor | None) -> Tensor:
        up = self.up(x, adapters)
        inner = self.activation(up) if self.gate is None else self.activation(self.gate(x, adapters)) * up
        output: Tensor = self.down(inner, adapters)
        return output


class Block(nn.Module):
    """The layer drawn above."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        self.norm_attention = make_norm(config.norm, config.hidden_size)
        self.attention = AttentionLayer(config, index)
        self.norm_feed_forward = make_norm(config.norm, config.hidden_size)
        self.feed_forward = FeedForwardLayer(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, call: Call) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x), call))
        x = x + self.dropout(self.feed_forward(self.norm_feed_forward(x), call.adapters))
        return x
