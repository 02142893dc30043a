"""One or two vectors times a matrix in bf16 by the compiled kernel; the plain version is torch's `linear`."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_void_p
from functools import cache

import torch
from torch import Tensor

from fourfold.kernels.native import kernels, threads

MOST = 2
"""Vectors; from three on libraries are as fast (LOG.md, 2026-11-28)."""


class _Few(ctypes.Structure):
    """See `native/shapes.hpp`."""

    _fields_ = (
        *((name, c_void_p) for name in ("weight", "bias", "x", "y")),
        *((name, c_int32) for name in ("rows", "columns", "count")),
    )


@cache
def _here() -> bool:
    library = kernels().library
    return library is not None and kernels().name == "avx512" and bool(library.fourfold_multiplies_bf16())


def few_natively(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernel is here and made for these (..., columns) and (rows, columns)."""
    if x.dtype != torch.bfloat16 or weight.dtype != torch.bfloat16 or not 0 < x.numel() <= MOST * weight.shape[1]:
        return False
    return weight.is_contiguous() and not torch.compiler.is_compiling() and _here()


def multiply_few(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., rows) `x W^T + bias`, summed in fp32 and rounded once; ask `few_natively` first."""
    rows, columns = weight.shape
    x = x.contiguous()
    y = x.new_empty((*x.shape[:-1], rows))
    biased = None if bias is None else bias.to(x.dtype).contiguous()
    call = _Few(
        weight=weight.data_ptr(), bias=None if biased is None else biased.data_ptr(), x=x.data_ptr(), y=y.data_ptr(),
        rows=rows, columns=columns, count=x.numel() // columns,
    )  # fmt: skip
    library = kernels().library
    assert library is not None
    library.fourfold_few(ctypes.byref(call), threads())
    return y
