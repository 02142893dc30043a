"""Near duplicates by MinHash (Broder 1997) with banding (Leskovec et al. 2020, section 3.4).

Two sets of shingles have the same least hash with a probability that is their Jaccard similarity. Signatures are cut
into bands; records that agree in a whole band are compared exactly. Of 16 bands of 4, a pair of similarity 0.8 is
missed once in 5,000 times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fourfold.measures import words_of

SHINGLE = 5
"""Words, a Han character being one."""
BANDS, ROWS = 16, 4
SIMILAR = 0.8
LEAST_WORDS = 12
"""A shorter text is compared exactly only."""
CROWD = 50
"""Records of one band that are compared with each other; more are all alike."""


def near_duplicates(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs (earlier, later) at least `SIMILAR` by Jaccard over shingles; each later text comes once."""
    generator = np.random.default_rng(0)
    factors = generator.integers(1, 2**63, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
    terms = generator.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64)
    buckets: dict[tuple[int, bytes], list[int]] = {}
    sets: dict[int, frozenset[int]] = {}
    for index, text in enumerate(texts):
        hashes = shingles(text)
        if hashes is None:
            continue
        sets[index] = frozenset(hashes.tolist())
        signature = signature_of(hashes, factors, terms)
        keys = [(band, signature[band].tobytes()) for band in range(BANDS)]
        candidates = {other for key in keys for other in buckets.get(key, ())}
        match = next((other for other in sorted(candidates) if similarity(sets[other], sets[index]) >= SIMILAR), None)
        if match is not None:
            yield match, index
            del sets[index]
            continue
        for key in keys:
            crowd = buckets.setdefault(key, [])
            if len(crowd) < CROWD:
                crowd.append(index)


def shingles(text: str) -> NDArray[np.uint64] | None:
    """Hashes of the shingles of a text; None for one too short."""
    words = words_of(text)
    if len(words) < LEAST_WORDS:
        return None
    joined = {" ".join(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)}
    return np.fromiter((crc32(piece.encode(errors="replace")) for piece in joined), np.uint64, len(joined))


def signature_of(
    hashes: NDArray[np.uint64], factors: NDArray[np.uint64], terms: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """(bands, rows): the least of each hash function, multiply-add-shift (Dietzfelbinger 1996)."""
    mixed = (hashes[:, None] * factors + terms) >> np.uint64(32)
    least: NDArray[np.uint64] = mixed.min(axis=0).reshape(BANDS, ROWS)
    return least


def similarity(one: frozenset[int], other: frozenset[int]) -> float:
    """Jaccard: shared over all."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
