"""Attention of a layer to its own sequence, or to an encoder's output.

Letters: B rows, T queries, D hidden size, H heads, G key-value heads, P head size, S keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fourfold.models.linear import Linear, side_by_side
from fourfold.models.protocols import Trace
from fourfold.models.transformer.blockwise import BLOCK, NATIVE, blockwise_attention, mix_by_blocks
from fourfold.models.transformer.cache import Earlier
from fourfold.models.transformer.config import TransformerConfig
from fourfold.models.transformer.masks import Packed, Sight
from fourfold.models.transformer.norms import make_norm
from fourfold.models.transformer.rotary import Rotation, rotate

QUERIES_AT_ONCE = 128
"""Queries after a cached past that are answered together."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """An encoder's output, as the layers of a decoder read it."""

    hidden: Tensor
    """(B, S, D)."""
    mask: Tensor | None
    """(B, 1, 1, S) True on real tokens; None: all are."""
    kept: dict[int, tuple[Tensor, Tensor]] | None = None
    """Keys and values by layer, once made; None: not kept (training)."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Rotation and sight: what differs between layers with a window and layers without."""

    rotation: Rotation | None
    sight: Sight | Packed


@dataclass(frozen=True, kw_only=True)
class Call:
    """What every layer of one model call shares."""

    views: dict[int | None, View]
    """By window."""
    cache: Earlier | None
    adapters: int | Tensor | None
    source: Source | None = None
    trace: Trace | None = None


class AttentionLayer(nn.Module):
    """softmax(Q K^T / sqrt(P)) V per head (Vaswani et al. 2017, section 3.2), grouped keys and values."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        inner, grouped = config.attention.heads * config.head_size, config.kv_heads * config.head_size
        bias = config.attention.bias
        self.query = Linear(config.hidden_size, inner, bias)
        self.key = Linear(config.hidden_size, grouped, bias)
        self.value = Linear(config.hidden_size, grouped, bias)
        self.output = Linear(inner, config.hidden_size, config.output_bias)
        kind = config.attention.norm
        self.norm_query = make_norm(config.norm, config.head_size if kind == "head" else inner) if kind else None
        self.norm_key = make_norm(config.norm, config.head_size if kind == "head" else grouped) if kind else None
        self.norm_each_head = kind == "head"
        self.head_size = config.head_size
        self.groups = config.attention.heads // config.kv_heads
        self.scale = config.attention.scale
        self.softcap = config.attention.softcap
        self.window = config.window(index)
        self.index = index

    def forward(self, x: Tensor, call: Call) -> Tensor:
        """(B, T, D) from (B, T, D): attention within the sequence."""
        view = call.views[self.window]
        projected = side_by_side((self.query, self.key, self.value), x, call.adapters)
        query, key, value = map(self._heads, projected, (self.norm_query, self.norm_key, None))
        if view.rotation is not None:
            query, key = rotate(query, view.rotation), rotate(key, view.rotation)
        if call.cache is not None:
            key, value = call.cache.append(self.index, key, value)
        record = None if call.trace is None else call.trace.attention
        if isinstance(view.sight, Packed):
            mixed = self._mix_packed(query, key, value, view.sight)
        else:
            mixed = self._mix(query, key, value, view.sight, record)
        return self._output(mixed, call)

    def read(self, x: Tensor, call: Call) -> Tensor:
        """(B, T, D) from (B, T, D): attention to the source of the call."""
        assert call.source is not None, "a decoder with cross-attention needs a source"
        query = self._heads(self.query(x, call.adapters), self.norm_query)
        kept = call.source.kept
        if kept is not None and self.index in kept:
            key, value = kept[self.index]
        else:
            key = self._heads(self.key(call.source.hidden, call.adapters), self.norm_key)
            value = self._heads(self.value(call.source.hidden, call.adapters), None)
            if kept is not None:
                kept[self.index] = key, value
        return self._output(self._mix(query, key, value, Sight(call.source.mask), None), call)

    def _heads(self, x: Tensor, norm: nn.Module | None) -> Tensor:
        """(B, H, T, P) heads of a projection (B, T, H * P)."""
        if norm is not None and not self.norm_each_head:
            x = norm(x)
        x = x.view(*x.shape[:-1], -1, self.head_size)
        if norm is not None and self.norm_each_head:
            x = norm(x)
        return x.transpose(1, 2)

    def _output(self, mixed: Tensor, call: Call) -> Tensor:
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(-2), call.adapters)
        return output

    def _mix_packed(self, query: Tensor, key: Tensor, value: Tensor, packed: Packed) -> Tensor:
        mixed = torch.empty_like(query)
        for document in packed.documents:
            row, start, end = document
            part = (slice(row, row + 1), slice(None), slice(start, end))
            mixed[part] = self._mix(query[part], key[part], value[part], packed.sight(document), None)
        return mixed

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, sight: Sight, record: list[Tensor] | None) -> Tensor:
        """(B, H, T, P) weighted values."""
        mask, causal, first = sight
        if first:
            key, value = key[:, :, first:], value[:, :, first:]
        rows, heads, length, size = query.shape
        products, trains = length > 1 and _products_pay(value, sight), torch.is_grad_enabled()
        if self.softcap is not None or record is not None or (products and trains and key.shape[2] <= BLOCK):
            return self._mix_by_hand(query, key, value, sight, record)
        if products:
            query, key = (query * self._scale(size)).to(value.dtype), key.to(value.dtype)
            if not trains:
                return mix_by_blocks(query, key, value, mask, causal)
            # Copies of keys and values: as views they would hold the whole product they came from.
            mixed: Tensor = blockwise_attention(query, key.contiguous(), value.contiguous(), mask, causal)
            return mixed
        if length == 1 and (mask is None or mask.shape[1] == 1):
            # One query a group of heads: fold the group into rows of queries, copy no key.
            folded = query.reshape(rows, heads // self.groups, self.groups, size)
            mixed = F.scaled_dot_product_attention(folded, key, value, mask, scale=self.scale)
            return mixed.reshape(rows, heads, 1, size)
        # The kernel shares keys and values between the heads of a group without copying them.
        mix = partial(F.scaled_dot_product_attention, scale=self.scale, enable_gqa=self.groups > 1)
        if causal and key.shape[2] > length:
            return _mix_in_blocks(mix, query, key, value)
        return mix(query, key, value, mask, is_causal=causal)

    def _mix_by_hand(
        self, query: Tensor, key: Tensor, value: Tensor, sight: Sight, record: list[Tensor] | None
    ) -> Tensor:
        """The same with every step visible; also what soft-capped scores need (Gemma 2, section 2)."""
        rows, groups, keys, size = key.shape
        heads, length = query.shape[1:3]
        folded = (query * self._scale(size)).to(key.dtype).reshape(rows, groups, -1, size)
        scores = (folded @ key.transpose(-1, -2)).view(rows, heads, length, keys)
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if sight.mask is not None and sight.mask.dtype == torch.bool:
            scores = scores.masked_fill(~sight.mask, -torch.inf)
        elif sight.mask is not None:
            scores = scores + sight.mask
        elif sight.causal:
            future = torch.ones(length, keys, dtype=torch.bool, device=scores.device).triu(keys - length + 1)
            scores = scores.masked_fill(future, -torch.inf)
        if record is not None:
            record.append(scores.detach().float().softmax(-1))
        weights = scores.softmax(-1)  # whose exponentials and sums are fp32 for any scores
        mixed: Tensor = weights.to(value.dtype).view(rows, groups, -1, keys) @ value
        return mixed.view(rows, heads, length, size)

    def _scale(self, size: int) -> float:
        return size**-0.5 if self.scale is None else self.scale


def _mix_in_blocks(mix: Callable[..., Tensor], query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention with a cached past, for which the kernel would want a dense mask over all keys.

    Each block of queries is given the keys up to its own end: what none of them sees is not multiplied.
    """
    length, past = query.shape[2], key.shape[2] - query.shape[2]
    mixed = torch.empty_like(query)
    for start in range(0, length, QUERIES_AT_ONCE):
        end = min(start + QUERIES_AT_ONCE, length)
        seen = torch.ones(end - start, past + end, dtype=torch.bool, device=query.device).tril(past + start)
        mixed[:, :, start:end] = mix(query[:, :, start:end], key[:, :, : past + end], value[:, :, : past + end], seen)
    return mixed


def _products_pay(value: Tensor, sight: Sight) -> bool:
    """Whether the numbers are such that the processor multiplies them itself, and PyTorch's kernel does not."""
    mask = sight.mask
    if not NATIVE or value.dtype != torch.bfloat16 or value.device.type != "cpu":
        return False
    if torch.is_grad_enabled():
        return mask is None or not mask.requires_grad
    return sight.causal or (mask is not None and mask.dtype == torch.bool and mask.shape[1] == 1)
