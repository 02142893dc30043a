"""Word vectors for eyes: the pair of files TensorBoard's projector reads, and two principal components."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.files import atomic_file
from fourfold.models.vectors.vectors import StaticVectors


class Plane(NamedTuple):
    """Points of a picture and how much of the spread it shows."""

    points: NDArray[np.float32]
    """(words, 2)"""
    shares: tuple[float, float]
    """Of the variance, an axis."""


def write_projector(vectors: StaticVectors, folder: Path, words: list[str]) -> None:
    """`vectors.tsv` and `metadata.tsv` of these words."""
    rows = [vectors.row(word) for word in words]
    with atomic_file(folder / "vectors.tsv", "w") as stream:
        for row in vectors.matrix[rows]:
            stream.write("\t".join(f"{number:.6g}" for number in row) + "\n")
    with atomic_file(folder / "metadata.tsv", "w") as stream:
        stream.writelines(f"{word}\n" for word in words)


def plane(vectors: StaticVectors, words: list[str]) -> Plane:
    """The two directions in which these words' unit vectors differ most."""
    if len(words) < 3:
        raise UserError("too few words for a picture", expected="at least 3", got=len(words))
    unit = vectors.unit[[vectors.row(word) for word in words]].astype(np.float64)
    centred = unit - unit.mean(axis=0)
    left, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])  # the largest part of each axis points up
    variance = lengths**2 / max(float((lengths**2).sum()), 1e-30)
    return Plane((left[:, :2] * lengths[:2] * signs).astype(np.float32), (float(variance[0]), float(variance[1])))
