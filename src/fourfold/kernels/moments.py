"""A step of AdamW on moments of one byte a number, by the compiled kernel; the plain version is
`training/optimizers/eight_bit.py`."""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int64, c_void_p
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from fourfold.kernels.native import kernels, threads

BLOCK = 256
"""Numbers that share a scale, as in `native/moments.hpp`."""


class _Moment(ctypes.Structure):
    """See `native/shapes.hpp` for this and the next."""

    _fields_ = tuple((name, c_void_p) for name in ("codes", "scales", "code", "middles", "starts"))


class _ByteStep(ctypes.Structure):
    _fields_ = (
        ("weight", c_void_p),
        ("gradient", c_void_p),
        ("first", _Moment),
        ("second", _Moment),
        ("count", c_int64),
        *((name, c_float) for name in ("take_first", "keep_second", "take_second", "correction")),
        *((name, c_float) for name in ("epsilon", "decay", "rate")),
    )


class ByteCode(NamedTuple):
    """What the 256 bytes stand for, and how the nearest one is found."""

    values: Tensor
    """(256,) fp32, rising."""
    middles: Tensor
    """(256,) between each value and the next; the last is infinite."""
    starts: Tensor
    """(65536,) uint8: the byte of the smallest number whose fp32 bits begin so; the largest's is one more at most."""

    @classmethod
    def of(cls, values: Tensor) -> ByteCode:
        """From the (256,) values alone."""
        middles = torch.cat([(values[:-1] + values[1:]) / 2, torch.tensor([torch.inf])])
        upper = torch.arange(65536, dtype=torch.int64) << 16
        upper = torch.where(upper >= 2**31, upper + 65535, upper)  # of negative numbers the smallest has most bits
        numbers = (upper - (upper >= 2**31) * 2**32).to(torch.int32).view(torch.float32).nan_to_num(0.0)
        return cls(values, middles, torch.bucketize(numbers, middles).clamp(max=255).to(torch.uint8))


class ByteMoment(NamedTuple):
    """A moment of AdamW in bytes."""

    codes: Tensor
    """(N,) uint8."""
    scales: Tensor
    """(ceil(N / 256),) fp32."""
    code: ByteCode


class ByteRates(NamedTuple):
    """Of one step (Loshchilov and Hutter 2019, algorithm 2): `keep` are the betas, `correct` 1 - beta^t."""

    keep: tuple[float, float]
    correct: tuple[float, float]
    rate: float
    decay: float
    """What is taken from a weight, as a share of it."""
    epsilon: float


def steps_natively(weight: Tensor, gradient: Tensor) -> bool:
    """Whether the kernel is here and made for such tensors: fp32 on the processor, dense, laid out alike."""
    alike = all(t.dtype == torch.float32 and t.device.type == "cpu" and t.is_contiguous() for t in (weight, gradient))
    return alike and type(weight.data) is Tensor and kernels().library is not None


def step_in_bytes(weight: Tensor, gradient: Tensor, first: ByteMoment, second: ByteMoment, rates: ByteRates) -> None:
    """Change weight and moments in place; ask `steps_natively` first.

    Raises:
        ValueError: a moment is not bytes, or of another size than the weight.
    """
    (keep, keep_second), (correct, correct_second) = rates.keep, rates.correct
    count = weight.numel()
    call = _ByteStep(
        weight=weight.data_ptr(), gradient=gradient.data_ptr(), first=_moment(first, count),
        second=_moment(second, count), count=count, take_first=1 - keep, keep_second=keep_second,
        take_second=1 - keep_second, correction=correct_second, epsilon=rates.epsilon,
        decay=1 - rates.decay, rate=rates.rate / correct,
    )  # fmt: skip
    library = kernels().library
    assert library is not None, "ask `steps_natively` first"
    library.fourfold_step_in_bytes(ctypes.byref(call), threads(), kernels().set)
    increment_version(weight)  # what was made of the weight is out of date, as after torch's own steps


def _moment(moment: ByteMoment, count: int) -> _Moment:
    kinds = moment.codes.dtype, moment.scales.dtype
    sizes = moment.codes.numel(), moment.scales.numel()
    if kinds != (torch.uint8, torch.float32) or sizes != (count, -(-count // BLOCK)):
        raise ValueError(f"a moment of {count} numbers has {sizes} numbers of {kinds}")
    tensors = (moment.codes, moment.scales, *moment.code)
    return _Moment(*(tensor.data_ptr() for tensor in tensors))
