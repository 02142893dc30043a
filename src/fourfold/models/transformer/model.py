"""The stack (`Transformer`) and the language model on it (`TransformerLM`).

Letters: B rows, T tokens, D hidden size, V vocabulary size, S keys.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.linear import Linear
from fourfold.models.protocols import State, Step, positions_of
from fourfold.models.transformer.block import Block, Call
from fourfold.models.transformer.cache import KeyValueCache
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.norms import make_norm
from fourfold.models.transformer.positions import make_positions


class Transformer(nn.Module):
    """Embedding, layers, final norm: ids to hidden states."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.hidden_size)
        self.positions = make_positions(config.positions, config)
        self.layers = nn.ModuleList(Block(config, index) for index in range(config.layers))
        self.norm = make_norm(config.norm, config.hidden_size)

    def forward(self, step: Step, cache: KeyValueCache | None = None) -> Tensor:
        """(B, T, D) hidden states after the final norm; the cache is advanced."""
        length = step.ids.shape[1]
        if length > self.config.context:
            raise ValueError(f"expected at most {self.config.context} tokens (the context), got {length}")
        positions = positions_of(step, None if cache is None else cache.lengths)
        x = self.positions.embed(self.embedding(step.ids), positions)
        call = Call(
            rotation=self.positions.rotation(positions, x.dtype),
            mask=_mask(step, cache),
            cache=cache,
            adapters=step.adapters,
        )
        for layer in self.layers:
            x = layer(x, call)
        if cache is not None:
            cache.advance(torch.full_like(cache.lengths, length) if step.lengths is None else step.lengths)
        output: Tensor = self.norm(x)
        return output


class TransformerLM(nn.Module):
    """A decoder-only language model (`CausalLM`)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.stack = Transformer(config)
        self.head = None if config.tied_embeddings else Linear(config.hidden_size, config.vocabulary_size)

    @property
    def vocabulary_size(self) -> int:
        return self.config.vocabulary_size

    @property
    def context(self) -> int:
        return self.config.context

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if state is None:
            state = self.new_state(ids.shape[0], self.context)
        return self.logits(self.hidden(Step(ids=ids), state)), state

    def hidden(self, step: Step, state: State | None = None) -> Tensor:
        assert state is None or isinstance(state, KeyValueCache)
        output: Tensor = self.stack(step, state)
        return output

    def logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = F.linear(hidden, self.stack.embedding.weight) if self.head is None else self.head(hidden)
        return logits

    def new_state(self, rows: int, capacity: int) -> KeyValueCache:
        weight, config = self.stack.embedding.weight, self.config
        shape = (config.layers, rows, config.kv_heads, min(capacity, config.context), config.head_size)
        return KeyValueCache.empty(shape, weight.dtype, weight.device)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights of deviation 0.02, the projections that end a residual branch smaller by
        sqrt(2 layers) (Radford et al. 2019, section 2.3); norms 1, biases 0."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                ends_branch = name.endswith(("attention.output.weight", "feed_forward.down.weight"))
                deviation = 0.02 / math.sqrt(2 * self.config.layers) if ends_branch else 0.02
                nn.init.normal_(parameter, 0.0, deviation, generator=generator)


def _mask(step: Step, cache: KeyValueCache | None) -> Tensor | None:
    """(B, 1, T, S), True where a query may look, or None where plain causal attention says the same.

    Padding stands on the right, so no real token ever looks at it.
    """
    length = step.ids.shape[1]
    if step.documents is not None:
        if cache is not None:
            raise ValueError("a packed step (documents) cannot continue a state")
        same = step.documents[:, :, None] == step.documents[:, None, :]
        return (same & torch.ones(length, length, dtype=torch.bool, device=same.device).tril())[:, None]
    if cache is None:
        return None
    starts = cache.lengths
    longest, shortest = int(starts.max()), int(starts.min())
    if longest == 0 or (length == 1 and longest == shortest):
        return None
    keys = torch.arange(longest + length, device=starts.device)
    queries = starts[:, None] + torch.arange(length, device=starts.device)  # (B, T)
    return (keys <= queries[:, :, None])[:, None]
