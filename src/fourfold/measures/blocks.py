"""Intervals for bits per byte: a text's neighbouring tokens are not independent, so blocks are resampled.

Blocks are cut at the same bytes for every model, so that models with different
tokenizers can be compared block by block.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fourfold.measures.comparisons import PairedResult, sign_flip_test, verdict_of
from fourfold.measures.intervals import Interval, ratio_of_sums_interval

Array = NDArray[np.float64]

BITS = 1 / math.log(2)
"""Bits in a nat."""


def block_nats(log_probs: ArrayLike, token_bytes: ArrayLike, total_bytes: int, block_bytes: int = 2048) -> Array:
    """Nats paid for each block of `block_bytes` of the text (the last block may be shorter, but not below half).

    A token across a border is shared out by its bytes; a token without bytes (an end
    marker) is paid for with the token before it. Token lengths that do not add up to the
    text (a tokenizer that normalises) are stretched to it.
    """
    nats, lengths = -np.asarray(log_probs, dtype=np.float64), np.asarray(token_bytes, dtype=np.float64)
    if nats.shape != lengths.shape or nats.ndim != 1 or nats.size == 0 or total_bytes < 1:
        raise ValueError(f"expected as many lengths as log-probabilities, got shapes {lengths.shape} and {nats.shape}")
    if lengths.sum() == 0:
        lengths = np.ones_like(lengths)
    owner = np.maximum(np.cumsum(lengths > 0) - 1, 0)
    paid = np.bincount(owner, weights=nats)
    ends = np.cumsum(lengths[lengths > 0])
    ends *= total_bytes / ends[-1]
    borders = block_borders(total_bytes, block_bytes)
    cumulated = np.interp(borders, np.concatenate([[0.0], ends]), np.concatenate([[0.0], np.cumsum(paid)]))
    return np.diff(cumulated)


def block_borders(total_bytes: int, block_bytes: int) -> Array:
    """Byte offsets at which blocks begin and end; a tail of less than half a block joins the last one."""
    blocks = max(1, (total_bytes + block_bytes // 2) // block_bytes)
    return np.append(np.arange(blocks) * float(block_bytes), float(total_bytes))


def ratio_interval(
    numerators: ArrayLike, denominators: ArrayLike, level: float = 0.95, samples: int = 10_000, seed: int = 0
) -> Interval:
    """Σ numerators ÷ Σ denominators with a BCa bootstrap interval over pairs (blocks, documents).

    For bits per byte: numerators in bits a block, denominators in bytes a block. One block
    has no interval: low and high are then NaN.
    """
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    if top.size == 1:
        return Interval(float(top[0] / bottom[0]), math.nan, math.nan, "one block: no interval")
    interval = ratio_of_sums_interval(top, bottom, level, samples, seed)
    return interval._replace(method=f"block {interval.method}")


def ratio_difference(
    a: ArrayLike, b: ArrayLike, denominators: ArrayLike, *, level: float = 0.95, samples: int = 10_000, seed: int = 0
) -> PairedResult:
    """How much b's ratio exceeds a's on the same blocks, where less is better (bits per byte)."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    bottom = np.asarray(denominators, dtype=np.float64)
    interval = ratio_interval(second - first, bottom, level, samples, seed)
    p_value = sign_flip_test(second - first, samples, seed)
    verdict = verdict_of(interval.value, p_value, level, higher_is_better=False)
    method = f"paired {interval.method}, sign-flip permutation"
    return PairedResult(interval.value, interval.low, interval.high, p_value, verdict, first.size, method)
