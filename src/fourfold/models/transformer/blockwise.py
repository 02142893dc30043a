"""Attention in bf16 on a processor: batched matrix products over blocks of queries, or one compiled kernel.

PyTorch's own kernel computes the whole square of scores and multiplies in fp32 where there are no matrix tiles. Here
each causal block of queries meets only the keys before its end, all products are bf16, and nothing is kept for the
backward pass but queries, keys and values: the weights are made again (Dao et al. 2022, section 3.1, without tiles
along the keys: a block's scores are whole rows, so the softmax is the plain one).

Letters: B rows, G key-value heads, M queries that share a head, N = B * G, T tokens, S keys, P head size, L queries of
a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fourfold.kernels import attends_natively, causal_attention, causal_attention_backward

BLOCK = 128
"""Queries of a block; half and twice as many were slower (LOG.md, 2026-11-28)."""
NATIVE = torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()
"""Whether this processor multiplies bf16 without tiles. With tiles, PyTorch's kernel uses them."""


def mix_by_blocks(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """(B, G * M, T, P) mixtures of values (B, G, S, P); the queries are scaled already.

    `mask` (B or 1, G * M or 1, T or 1, S) is True where a query may look, or numbers to add. Causal: the last query
    sees the last key, each before it one less.
    """
    mixed, groups = _by_token(query), key.shape[1]
    if causal and attends_natively(query, key):
        causal_attention(query, key, value, mixed)
        return mixed
    for start, end, seen in _blocks(query.shape[2], key.shape[2], causal):
        added = _added(mask, causal, start, end, query)
        weights = _weights(_rows(query, groups, start, end), _prefix(key, seen), query.shape[:2], added)
        mixed[:, :, start:end] = _heads(torch.bmm(weights, _prefix(value, seen)), mixed[:, :, start:end])
    return mixed


@torch.library.custom_op("fourfold::blockwise_attention", mutates_args=())
def blockwise_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """`mix_by_blocks` with gradients for queries, keys and values; a mask has none."""
    return mix_by_blocks(query, key, value, mask, causal)


@torch.library.custom_op("fourfold::blockwise_attention_backward", mutates_args=())
def blockwise_attention_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of queries, keys and values. Those of keys and values are summed over the blocks in fp32."""
    to_query, groups = _by_token(query), key.shape[1]
    if causal and attends_natively(query, key):
        found = to_query, _by_token(key), _by_token(value)
        causal_attention_backward(gradient, query, key, value, *found)
        return found
    to_key, to_value = (torch.zeros(key.flatten(0, 1).shape, device=key.device) for _ in range(2))
    for start, end, seen in _blocks(query.shape[2], key.shape[2], causal):
        rows, given = (_rows(t, groups, start, end) for t in (query, gradient))
        keys, values = _prefix(key, seen), _prefix(value, seen)
        weights = _weights(rows, keys, query.shape[:2], _added(mask, causal, start, end, query))
        to_weights = torch.bmm(given, values.transpose(1, 2))
        to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
        to_query[:, :, start:end] = _heads(torch.bmm(to_scores, keys), to_query[:, :, start:end])
        to_value[:, :seen] += torch.bmm(weights.transpose(1, 2), given)
        to_key[:, :seen] += torch.bmm(to_scores.transpose(1, 2), rows)
    to_key, to_value = to_key.view(key.shape), to_value.view(value.shape)
    return to_query, _by_token(key).copy_(to_key), _by_token(value).copy_(to_value)


def _by_token(like: Tensor) -> Tensor:
    """Room for (B, H, T, P) heads that lie as a projection does, (B, T, H * P)."""
    rows, heads, length, size = like.shape
    return like.new_empty(rows, length, heads, size).transpose(1, 2)


def _blocks(length: int, keys: int, causal: bool) -> list[tuple[int, int, int]]:
    """First query, end of the queries, end of the keys they see."""
    starts, past = range(0, length, BLOCK), keys - length
    ends = [min(start + BLOCK, length) for start in starts]
    return [(start, end, past + end if causal else keys) for start, end in zip(starts, ends, strict=True)]


def _rows(heads: Tensor, groups: int, start: int, end: int) -> Tensor:
    """(N, M * L, P) a block of (B, G * M, T, P), copied once: a product would copy it each time."""
    return heads[:, :, start:end].reshape(len(heads) * groups, -1, heads.shape[-1]).contiguous()


def _heads(rows: Tensor, like: Tensor) -> Tensor:
    """(B, G * M, L, P) from (N, M * L, P)."""
    return rows.view(like.shape)


def _prefix(heads: Tensor, end: int) -> Tensor:
    """(N, S, P) the keys or values before `end`."""
    return heads[:, :, :end].flatten(0, 1).contiguous()


def _added(mask: Tensor | None, causal: bool, start: int, end: int, like: Tensor) -> Tensor | None:
    """What is added to the last scores of a block: of its own keys when causal, of all with a mask."""
    if causal:
        return torch.full((end - start, end - start), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
    if mask is None:
        return None
    part = mask[:, :, start:end] if mask.shape[2] > 1 else mask
    if part.dtype == torch.bool:
        return torch.zeros(part.shape, dtype=like.dtype, device=like.device).masked_fill_(~part, -torch.inf)
    return part


def _weights(rows: Tensor, key: Tensor, heads: Sequence[int], added: Tensor | None) -> Tensor:
    """(N, M * L, S) of a block of queries of (B, G * M) heads to the keys it sees."""
    scores = torch.bmm(rows, key.transpose(1, 2))
    if added is not None:
        scores.view(*heads, -1, scores.shape[-1])[..., -added.shape[-1] :].add_(added)
    return scores.softmax(-1)


@blockwise_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    return _by_token(query)


@blockwise_attention_backward.register_fake
def _(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return _by_token(query), _by_token(key), _by_token(value)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None, bool], output: Tensor) -> None:
    *tensors, ctx.causal = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
    query, key, value, mask = ctx.saved_tensors
    gradients = blockwise_attention_backward(gradient, query, key, value, mask, ctx.causal)
    return (*gradients, None, None)


blockwise_attention.register_autograd(_backward, setup_context=_keep)
