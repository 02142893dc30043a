"""Which passages hold a term, in segments that never change once written, and BM25 over them.

Passages are numbered as they come; a segment covers a range of numbers. A file that changes gets new numbers, and its
old ones are dead: they stay in their segment until it is merged, and are masked in every count, so that an index which
grew step by step scores exactly as one made afresh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.utilization.retrieval.documents import Part

K1 = 1.5
B = 0.75


class Arrays(NamedTuple):
    """The content of a segment; passages are numbered from 0 within it."""

    terms: NDArray[np.uint64]
    """Hashes in rising order."""
    starts: NDArray[np.uint32]
    """Where each term's postings begin; one more than terms."""
    passages: NDArray[np.uint32]
    """Postings: for each term the passages that hold it, in rising order."""
    counts: NDArray[np.uint16]
    """Postings: how often."""
    lengths: NDArray[np.uint16]
    """Terms of each passage."""
    owners: NDArray[np.uint32]
    """The file of each passage."""


def build(parts: Sequence[tuple[int, Part]]) -> Arrays:
    """The segment of some parts and the files they are of, in the order of their passages."""
    each = [np.diff(part.terms.ends, prepend=0) for _, part in parts]
    sizes = np.concatenate(each)
    hashes = np.concatenate([part.terms.terms for _, part in parts])
    counts = np.concatenate([part.terms.counts for _, part in parts])
    lengths = np.concatenate([part.terms.lengths for _, part in parts])
    owners = np.repeat([file for file, _ in parts], [len(part.drafts) for _, part in parts])
    passages = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)
    return _sorted(hashes, passages, counts, np.minimum(lengths, 65535).astype(np.uint16), owners.astype(np.uint32))


def merge(segments: Sequence[tuple[int, Arrays]], alive: NDArray[np.bool_]) -> Arrays:
    """One segment in place of neighbours (first number, content); dead passages keep their numbers and lose all else.

    `alive` is of the passages from the first segment's first to the last one's last.
    """
    base = segments[0][0]
    size = segments[-1][0] + len(segments[-1][1].lengths) - base
    lengths, owners = np.zeros(size, np.uint16), np.zeros(size, np.uint32)
    hashes, passages, counts = [], [], []
    for first, arrays in segments:
        at = slice(first - base, first - base + len(arrays.lengths))
        lengths[at], owners[at] = arrays.lengths * alive[at], arrays.owners * alive[at]
        moved = arrays.passages + np.uint32(first - base)
        kept = alive[moved]
        hashes.append(np.repeat(arrays.terms, np.diff(arrays.starts))[kept])
        passages.append(moved[kept])
        counts.append(arrays.counts[kept])
    return _sorted(np.concatenate(hashes), np.concatenate(passages), np.concatenate(counts), lengths, owners)


def _sorted(
    hashes: NDArray[np.uint64],
    passages: NDArray[np.uint32],
    counts: NDArray[np.uint16],
    lengths: NDArray[np.uint16],
    owners: NDArray[np.uint32],
) -> Arrays:
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    new = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] ^ np.uint64(1)))
    starts = np.append(new, len(ordered)).astype(np.uint32)
    return Arrays(ordered[new], starts, passages[order], counts[order], lengths, owners)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A segment as it is searched: postings are fetched term by term."""

    first: int
    """Number of its first passage."""
    terms: NDArray[np.uint64]
    starts: NDArray[np.uint32]
    alive: NDArray[np.bool_]
    lengths: NDArray[np.uint16]
    owners: NDArray[np.uint32]
    fetch: Callable[[int, int], tuple[NDArray[np.uint32], NDArray[np.uint16]]]
    """Passages and counts of the postings from one place to another."""

    def postings(self, term: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]] | None:
        """The living passages that hold a term, and how often; None if none does."""
        place = int(np.searchsorted(self.terms, np.uint64(term)))
        if place == len(self.terms) or self.terms[place] != term:
            return None
        passages, counts = self.fetch(int(self.starts[place]), int(self.starts[place + 1]))
        living = self.alive[passages]
        return (passages, counts) if living.all() else (passages[living], counts[living])


class Scores(NamedTuple):
    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]


def bm25(segments: Sequence[Segment], terms: Sequence[int], k: int) -> Scores:
    """The `k` best passages for a question's terms, and all that tie with the last of them, best first.

    Robertson and Zaragoza 2009, equation 3.15, with the inverse document frequency ln(1 + (N - n + 1/2) / (n + 1/2)),
    which is never negative. A term that the question repeats counts again.
    """
    total = sum(int(np.count_nonzero(segment.alive)) for segment in segments)
    length = sum(int(segment.lengths[segment.alive].sum(dtype=np.int64)) for segment in segments)
    if not total:
        return Scores(np.empty(0, np.int64), np.empty(0, np.float32))
    norms = [K1 * (1 - B + B * segment.lengths.astype(np.float32) / (length / total)) for segment in segments]
    scores = [np.zeros(len(segment.lengths), np.float32) for segment in segments]
    for term, times in Counter(terms).items():
        found = [segment.postings(term) for segment in segments]
        holding = sum(len(postings[0]) for postings in found if postings is not None)
        weight = np.float32(times * (K1 + 1) * np.log1p((total - holding + 0.5) / (holding + 0.5)))
        for postings, norm, score in zip(found, norms, scores, strict=True):
            if postings is not None:
                passages, counts = postings
                score[passages] += weight * counts / (counts + norm[passages])
    numbers = [np.flatnonzero(score) + segment.first for segment, score in zip(segments, scores, strict=True)]
    return best(np.concatenate(numbers), np.concatenate([score[score > 0] for score in scores]), k)


def best(numbers: NDArray[np.int64], values: NDArray[np.float32], k: int) -> Scores:
    """The `k` greatest values, and all that tie with the last of them, greatest first."""
    if len(values) > k:
        kept = values >= np.partition(values, len(values) - k)[len(values) - k]
        numbers, values = numbers[kept], values[kept]
    order = np.argsort(-values, kind="stable")
    return Scores(numbers[order], values[order])
