"""The feed-forward sub-layer: dense, gated, or a mixture of experts.

Letters: B rows, T tokens, D hidden size, N = B * T, E experts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.linear import Linear, side_by_side
from fourfold.models.protocols import Routing
from fourfold.models.transformer.attention import Call
from fourfold.models.transformer.config import TransformerConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "tanh": torch.tanh,
}


class FeedForwardLayer(nn.Module):
    """`down(activation(up x))`, or `down(activation(gate x) * up x)` when gated (Shazeer 2020, eq. 6)."""

    def __init__(self, config: TransformerConfig, size: int) -> None:
        super().__init__()
        bias = config.feed_forward.bias
        self.gate = Linear(config.hidden_size, size, bias) if config.feed_forward.gated else None
        self.up = Linear(config.hidden_size, size, bias)
        self.down = Linear(size, config.hidden_size, bias)
        self.activation = ACTIVATIONS[config.feed_forward.activation]

    def forward(self, x: Tensor, call: Call) -> Tensor:
        """(B, T, D) from (B, T, D)."""
        return self.apply_to(x, call.adapters)

    def apply_to(self, x: Tensor, adapters: int | Tensor | None) -> Tensor:
        """The same under these adapters, each row of a batch under its own where they are a tensor of gates."""
        if self.gate is None:
            inner = self.activation(self.up(x, adapters))
        else:
            gate, up = side_by_side((self.gate, self.up), x, adapters)
            inner = self.activation(gate) * up
        output: Tensor = self.down(inner, adapters)
        return output


class ExpertsLayer(nn.Module):
    """sum over the chosen experts of probability * expert(x), plus the shared expert (Shazeer et al. 2017, eq. 1).

    The router works in fp32. An expert computes only the tokens sent to it; none is dropped.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        experts = config.feed_forward.experts
        assert experts is not None
        self.options = experts
        self.router = Linear(config.hidden_size, experts.count)
        size = config.feed_forward.size
        self.experts = nn.ModuleList(FeedForwardLayer(config, size) for _ in range(experts.count))
        self.shared = FeedForwardLayer(config, experts.shared_size) if experts.shared_size else None

    def forward(self, x: Tensor, call: Call) -> Tensor:
        """(B, T, D) from (B, T, D)."""
        flat = x.flatten(0, 1)  # (N, D)
        weights, chosen = self._route(flat, call)
        order = chosen.flatten().argsort(stable=True)  # (N * active,) choices, expert after expert
        token = order // self.options.active
        counts = chosen.flatten().bincount(minlength=self.options.count).tolist()
        sent = torch.split(flat[token][:, None], counts)
        gates: list[int | Tensor | None] = [call.adapters] * len(counts)
        if isinstance(call.adapters, Tensor):
            gates = [*torch.split(call.adapters.repeat_interleave(x.shape[1], dim=0)[token], counts)]  # a gate a token
        parts = []
        for expert, part, gate in zip(self.experts, sent, gates, strict=True):
            assert isinstance(expert, FeedForwardLayer)
            if len(part):
                parts.append(expert.apply_to(part, gate)[:, 0])
        weighted = torch.cat(parts) * weights.flatten()[order, None]
        mixed = torch.zeros_like(flat).index_add_(0, token, weighted.to(flat.dtype))
        output = mixed.view_as(x)
        return output if self.shared is None else output + self.shared(x, call)

    def _route(self, flat: Tensor, call: Call) -> tuple[Tensor, Tensor]:
        """(N, active) weights in fp32 and numbers of the experts chosen for (N, D) tokens."""
        logits = F.linear(flat.float(), self.router.weight.float())  # (N, E)
        weights, chosen = logits.softmax(-1).topk(self.options.active, dim=-1)
        if self.options.renormalise:
            weights = weights / weights.sum(-1, keepdim=True)
        if call.trace is not None:
            call.trace.routing.append(Routing(logits, chosen))
        return weights, chosen


def make_feed_forward(config: TransformerConfig) -> FeedForwardLayer | ExpertsLayer:
    """One feed-forward layer, or experts where the configuration has them."""
    if config.feed_forward.experts is None:
        return FeedForwardLayer(config, config.feed_forward.size)
    return ExpertsLayer(config)
