"""Causal attention for training in bf16 by the compiled kernel; the plain formula is `models/transformer/blockwise.py`.

Letters: B rows, G heads of keys, M heads of queries that share one, T tokens, P head size.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_void_p

import torch
from torch import Tensor

from fourfold.kernels.native import kernels, threads

SIZES = 32
"""Head sizes are multiples of it."""


class _Heads(ctypes.Structure):
    """See `native/shapes.hpp` for this and the next."""

    _fields_ = (("at", c_void_p), *((name, c_int64) for name in ("row", "head", "token")))


class _Attention(ctypes.Structure):
    _fields_ = (
        *((name, _Heads) for name in ("query", "key", "value", "mixed")),
        *((name, _Heads) for name in ("to_mixed", "to_query", "to_key", "to_value")),
        *((name, c_int32) for name in ("rows", "groups", "shared", "length", "size")),
    )


def attends_natively(query: Tensor, key: Tensor) -> bool:
    """Whether the kernel is here and made for heads of this size and kind, without a past."""
    library = kernels().library
    if query.shape[2] != key.shape[2]:
        return False
    fits = query.dtype == torch.bfloat16 and query.device.type == "cpu" and query.shape[-1] % SIZES == 0
    return fits and library is not None and bool(library.fourfold_multiplies_bf16())


def causal_attention(query: Tensor, key: Tensor, value: Tensor, mixed: Tensor) -> None:
    """Write into `mixed` (B, G * M, T, P) what queries of that shape, scaled, make of keys and values (B, G, T, P)."""
    _run(False, query=query, key=key, value=value, mixed=mixed)


def causal_attention_backward(
    given: Tensor, query: Tensor, key: Tensor, value: Tensor, to_query: Tensor, to_key: Tensor, to_value: Tensor
) -> None:
    """Write the gradients of queries, keys and values, `given` being that of what they make."""
    _run(True, to_mixed=given, query=query, key=key, value=value,
         to_query=to_query, to_key=to_key, to_value=to_value)  # fmt: skip


def _run(backward: bool, **heads: Tensor) -> None:
    rows, count, length, size = heads["query"].shape
    dense = {name: tensor if tensor.stride(-1) == 1 else tensor.contiguous() for name, tensor in heads.items()}
    places = {name: _Heads(tensor.data_ptr(), *tensor.stride()[:3]) for name, tensor in dense.items()}
    groups = heads["key"].shape[1]
    call = _Attention(rows=rows, groups=groups, shared=count // groups, length=length, size=size, **places)
    library = kernels().library
    assert library is not None, "ask `attends_natively` first"
    library.fourfold_attention(ctypes.byref(call), int(backward), threads())
