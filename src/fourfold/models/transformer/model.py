"""The stack: embedding, layers, final norm.

Letters: B rows, T tokens, D hidden size, E width of the embedding, S keys.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fourfold.models.linear import Linear, is_packed
from fourfold.models.protocols import Step, positions_of
from fourfold.models.transformer.attention import Call, Source, View
from fourfold.models.transformer.block import Block
from fourfold.models.transformer.cache import Earlier, KeyValueCache
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.masks import look
from fourfold.models.transformer.norms import make_norm
from fourfold.models.transformer.paged import Pages, PageShape
from fourfold.models.transformer.positions import make_positions


class Transformer(nn.Module):
    """Embedding, layers, final norm: ids to hidden states."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        options, width = config.embedding, config.embedding_size
        self.embedding = nn.Embedding(config.vocabulary_size, width)
        self.segments = nn.Embedding(options.segments, width) if options.segments else None
        self.embedding_norm = make_norm(config.norm, width) if options.norm else None
        projected = width != config.hidden_size
        self.projection = Linear(width, config.hidden_size, options.projection_bias) if projected else None
        self.positions = make_positions(config.positions, config)
        local = config.local_positions
        self.local_positions = None if local is None else make_positions(local, config)
        self.layers = nn.ModuleList(Block(config, index) for index in range(config.layers))
        self.norm = make_norm(config.norm, config.hidden_size) if config.final_norm else None
        self.dropout = nn.Dropout(config.dropout)
        self.recompute = False
        """Keep only each layer's input for the backward pass and compute the rest again (Chen et al. 2016)."""

    def forward(self, step: Step, cache: Earlier | None = None, source: Source | None = None) -> Tensor:
        """(B, T, D) hidden states after the final norm; the cache is advanced."""
        self._check(step, cache)
        starts = None if cache is None else cache.lengths
        positions = positions_of(step, starts)
        x = self.embed(step, positions)
        call = Call(
            views=self._views(step, starts, positions, x.dtype),
            cache=cache,
            adapters=step.adapters,
            source=source,
            trace=step.trace,
        )
        hidden = None if step.trace is None else step.trace.hidden
        again = self.recompute and torch.is_grad_enabled() and (cache is None or cache.repeatable)
        for layer in self.layers:
            if hidden is not None:
                hidden.append(x)
            x = checkpoint(layer, x, call, use_reentrant=False) if again else layer(x, call)
        if cache is not None:
            whole = torch.full_like(cache.lengths, step.ids.shape[1])
            cache.advance(whole if step.lengths is None else step.lengths)
        if hidden is not None:
            hidden.append(x)
        output: Tensor = x if self.norm is None else self.norm(x)
        return output

    def embed(self, step: Step, positions: Tensor) -> Tensor:
        """(B, T, D) what the first layer reads."""
        x = self.embedding(step.ids)
        if self.config.embedding.scale != 1.0:
            x = x * self.config.embedding.scale
        if self.segments is not None:
            kinds = torch.zeros_like(step.ids) if step.segments is None else step.segments
            x = x + self.segments(kinds)
        if self.embedding_norm is None and self.projection is not None:
            x = self.projection(x, step.adapters)
        x = self.positions.embed(x, positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
            if self.projection is not None:
                x = self.projection(x, step.adapters)
        embedded: Tensor = self.dropout(x)
        return embedded

    def new_cache(self, rows: int, capacity: int) -> KeyValueCache:
        """An empty cache for so many rows of at most `capacity` tokens, or the context if that is less."""
        weight, config = next(self.parameters()), self.config
        shape = (config.layers, rows, config.kv_heads, min(capacity, config.context), config.head_size)
        return KeyValueCache.empty(shape, weight.dtype, weight.device)

    @property
    def page_shape(self) -> PageShape:
        """What a page of its keys and values holds."""
        return PageShape(self.config.layers, self.config.kv_heads, self.config.head_size)

    @property
    def page_dtype(self) -> torch.dtype:
        """What pages hold unless told otherwise: the weights' dtype, bf16 beside packed weights."""
        return torch.bfloat16 if is_packed(self) else next(self.parameters()).dtype

    def new_pages(self, count: int, dtype: torch.dtype | None = None) -> Pages:
        """A store of so many pages for any number of rows, in `page_dtype` unless another is given."""
        weight, windows = next(self.parameters()), [self.config.window(layer) for layer in range(self.config.layers)]
        return Pages(
            self.page_shape,
            count,
            dtype or self.page_dtype,
            weight.device,
            numbers=weight.dtype,
            window=None if None in windows else max(window or 0 for window in windows),
        )

    def _views(
        self, step: Step, starts: Tensor | None, positions: Tensor, dtype: torch.dtype
    ) -> dict[int | None, View]:
        """Rotation and sight by window: layers with the same window share them."""
        config, views = self.config, {}
        bias = partial(self.positions.bias, dtype=dtype) if self.positions.biased else None
        for window in dict.fromkeys(config.window(layer) for layer in range(config.layers)):
            scheme = self.positions if window is None or self.local_positions is None else self.local_positions
            padded = config.mask == "bidirectional" and step.documents is None
            views[window] = View(
                rotation=scheme.rotation(positions, dtype),
                sight=look(config.mask, step, starts, window, bias, padded),
            )
        return views

    def _check(self, step: Step, cache: Earlier | None) -> None:
        length = step.ids.shape[1]
        if length > self.config.context:
            raise ValueError(f"expected at most {self.config.context} tokens (the context), got {length}")
        if cache is None:
            return
        if step.documents is not None:
            raise ValueError("a packed step (documents) cannot continue a state")
        if self.config.mask == "bidirectional":
            raise ValueError("a bidirectional model reads a text whole: it has no state to continue")
