"""One transformer layer: attention and feed-forward, each on its own residual branch.

    serial     x ──┬─ norm ─ attention ──┬── + ──┬─ norm ─ feed-forward ─┬── + ──►
                   └─────────────────────┘       └───────────────────────┘
    parallel   x ──┬─ norm ─ attention ─────┬── + ──►
                   ├─ norm ─ feed-forward ──┤
                   └────────────────────────┘

The norms are drawn in the place called `pre`; `Block.branch` knows the others.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from fourfold.models.transformer.attention import AttentionLayer, Call
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.feed_forward import make_feed_forward
from fourfold.models.transformer.norms import make_norm

SubLayer = Callable[[Tensor, Call], Tensor]


class Block(nn.Module):
    """The layer drawn above; with cross-attention, a third branch between the two."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        place = config.norm.place
        self.norm_before = place in ("pre", "sandwich")
        self.norm_stream = place in ("post", "deep")
        self.residual = config.residual
        self.alpha = residual_scale(config)

        def norm(wanted: bool = True) -> nn.Module | None:
            return make_norm(config.norm, config.hidden_size) if wanted else None

        sandwich, cross = place == "sandwich", config.cross_attention
        self.norm_attention = norm()
        self.attention = AttentionLayer(config, index)
        self.norm_attention_output = norm(sandwich)
        self.norm_cross = norm(cross)
        self.cross = AttentionLayer(config, index) if cross else None
        self.norm_cross_output = norm(cross and sandwich)
        self.norm_feed_forward = norm(config.residual != "parallel-one-norm")
        self.feed_forward = make_feed_forward(config)
        self.norm_feed_forward_output = norm(sandwich)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, call: Call) -> Tensor:
        if self.residual != "serial":
            return self._parallel(x, call)
        x = self.branch(x, call, self.attention, self.norm_attention, self.norm_attention_output)
        if self.cross is not None:
            x = self.branch(x, call, self.cross.read, self.norm_cross, self.norm_cross_output)
        return self.branch(x, call, self.feed_forward, self.norm_feed_forward, self.norm_feed_forward_output)

    def branch(
        self, x: Tensor, call: Call, sub_layer: SubLayer, norm: nn.Module | None, output_norm: nn.Module | None
    ) -> Tensor:
        """x plus what the sub-layer makes of it, the norms where their place says."""
        assert norm is not None
        change = sub_layer(norm(x) if self.norm_before else x, call)
        if output_norm is not None:
            change = output_norm(change)
        elif not self.norm_before and not self.norm_stream:
            change = norm(change)
        x = (x if self.alpha == 1.0 else x * self.alpha) + self.dropout(change)
        normed: Tensor = norm(x) if self.norm_stream else x
        return normed

    def _parallel(self, x: Tensor, call: Call) -> Tensor:
        assert self.norm_attention is not None
        normed = self.norm_attention(x)
        other = normed if self.norm_feed_forward is None else self.norm_feed_forward(x)
        change = self.dropout(self.attention(normed, call)) + self.dropout(self.feed_forward(other, call))
        output: Tensor = x + change
        return output


def residual_scale(config: TransformerConfig) -> float:
    """DeepNorm's alpha (Wang et al. 2022, figure 2); 1 for every other place.

    Departure: an encoder beside a decoder takes the value of an encoder alone, which needs no knowledge of the other.
    """
    if config.norm.place != "deep":
        return 1.0
    if config.norm.alpha is not None:
        return config.norm.alpha
    return float(((3 if config.cross_attention else 2) * config.layers) ** 0.25)
