"""Differences over items that come in groups of their own, such as the subjects of one exam."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fourfold.measures.intervals import CELLS_AT_ONCE, Interval

Array = NDArray[np.float64]


def stratified_interval(
    values: ArrayLike, strata: Sequence[Hashable], level: float = 0.95, samples: int = 10_000, seed: int = 0
) -> Interval:
    """The mean over all items with a percentile bootstrap that resamples within each stratum.

    How many items a stratum has is by design, not by chance, so it stays as it is. Of n items n - 1 are drawn, which
    gives the spread without bias for small n (Rao and Wu 1988, section 2.2 with m = n - 1); strata of one item are put
    together.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or array.size != len(strata):
        raise ValueError(f"expected a stratum for each value, got {len(strata)} for shape {array.shape}")
    generator = np.random.default_rng(seed)
    replicates = np.zeros(samples)
    for part in _parts(array, strata):
        replicates += _resampled_means(part, samples, generator) * (part.size / array.size)
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(array.mean()), float(low), float(high), "stratified bootstrap")


def _parts(values: Array, strata: Sequence[Hashable]) -> list[Array]:
    groups: dict[Hashable, list[float]] = {}
    for value, stratum in zip(values.tolist(), strata, strict=True):
        groups.setdefault(stratum, []).append(value)
    alone = [group[0] for group in groups.values() if len(group) == 1]
    parts = [np.asarray(group) for group in groups.values() if len(group) > 1]
    return [*parts, np.asarray(alone)] if alone else parts


def _resampled_means(part: Array, samples: int, generator: np.random.Generator) -> Array:
    drawn = max(1, part.size - 1)
    piece = max(1, CELLS_AT_ONCE // drawn)
    sizes = [min(piece, samples - start) for start in range(0, samples, piece)]
    means = [part[generator.integers(0, part.size, (size, drawn))].mean(axis=1) for size in sizes]
    return np.concatenate(means)
