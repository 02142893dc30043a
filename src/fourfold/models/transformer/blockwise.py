"""Causal attention in bf16 on a processor: batched matrix products over blocks of queries.

PyTorch's own kernel computes the whole square of scores and multiplies in fp32 where there are no matrix tiles. Here
each block of queries meets only the keys before its end, all products are bf16, and nothing is kept for the
backward pass but queries, keys and values: the weights are made again (Dao et al. 2022, section 3.1, without tiles
along the keys: a block's scores are whole rows, so the softmax is the plain one).

Letters: B rows, G key-value heads, M queries that share a head, N = B * G, T tokens, S keys, P head size, L queries of
a block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLOCK = 128
"""Queries of a block; half and twice as many were slower (LOG.md, 2026-11-28)."""
NATIVE = torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()
"""Whether this processor multiplies bf16 without tiles. With tiles, PyTorch's kernel uses them."""


def mix_by_blocks(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
    """(B, G * M, T, P) mixtures of values (B, G, S, P), S >= T; the queries are scaled already.

    The last query sees the last key, each before it one less; or what is True in `allowed` (B or 1, 1, T, S).
    """
    mixed = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    groups, past = key.shape[1], key.shape[2] - query.shape[2]
    for start, end in _blocks(query.shape[2]):
        seen = past + end if allowed is None else key.shape[2]
        hidden = None if allowed is None else ~allowed[:, :, start:end]
        weights = _weights(_rows(query, groups, start, end), _prefix(key, seen), end - start, hidden)
        mixed[:, :, start:end] = _heads(torch.bmm(weights, _prefix(value, seen)), mixed[:, :, start:end])
    return mixed


@torch.library.custom_op("fourfold::blockwise_attention", mutates_args=())
def blockwise_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, G * M, T, P) causal mixtures of values (B, G, T, P), with a gradient; the queries are scaled already."""
    return mix_by_blocks(query, key, value)


@torch.library.custom_op("fourfold::blockwise_attention_backward", mutates_args=())
def blockwise_attention_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of queries, keys and values. Those of keys and values are summed over the blocks in fp32."""
    groups = key.shape[1]
    to_query = torch.empty(query.shape, dtype=query.dtype, device=query.device)
    to_key, to_value = (torch.zeros(key.flatten(0, 1).shape, device=key.device) for _ in range(2))
    for start, end in _blocks(query.shape[2]):
        rows, given = (_rows(t, groups, start, end) for t in (query, gradient))
        keys, values = _prefix(key, end), _prefix(value, end)
        weights = _weights(rows, keys, end - start)
        to_weights = torch.bmm(given, values.transpose(1, 2))
        to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
        to_query[:, :, start:end] = _heads(torch.bmm(to_scores, keys), to_query[:, :, start:end])
        to_value[:, :end] += torch.bmm(weights.transpose(1, 2), given)
        to_key[:, :end] += torch.bmm(to_scores.transpose(1, 2), rows)
    return to_query, to_key.to(key.dtype).view(key.shape), to_value.to(key.dtype).view(key.shape)


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]


def _rows(heads: Tensor, groups: int, start: int, end: int) -> Tensor:
    """(N, M * L, P) a block of (B, G * M, T, P), copied once: a product would copy it each time."""
    return heads[:, :, start:end].reshape(len(heads) * groups, -1, heads.shape[-1]).contiguous()


def _heads(rows: Tensor, like: Tensor) -> Tensor:
    """(B, G * M, L, P) from (N, M * L, P)."""
    return rows.view(like.shape)


def _prefix(heads: Tensor, end: int) -> Tensor:
    """(N, S, P) the keys or values before `end`."""
    return heads[:, :, :end].flatten(0, 1).contiguous()


def _weights(rows: Tensor, key: Tensor, length: int, hidden: Tensor | None = None) -> Tensor:
    """(N, M * L, S) of a block of queries to the keys up to its end, `length` of which are its own; or to those that
    are not `hidden` (B or 1, 1, L, S)."""
    scores = torch.bmm(rows, key.transpose(1, 2))
    if hidden is not None:
        scores.view(len(hidden), -1, *hidden.shape[2:]).masked_fill_(hidden, -torch.inf)
        return scores.softmax(-1)
    future = torch.full((length, length), -torch.inf, dtype=scores.dtype, device=scores.device).triu(1)
    scores.view(len(scores), -1, length, scores.shape[-1])[..., -length:].add_(future)
    return scores.softmax(-1)


@blockwise_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return query.new_empty(query.shape)


@blockwise_attention_backward.register_fake
def _(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = ctx.saved_tensors
    gradients: tuple[Tensor, Tensor, Tensor] = blockwise_attention_backward(gradient, query, key, value)
    return gradients


blockwise_attention.register_autograd(_backward, setup_context=_keep)
