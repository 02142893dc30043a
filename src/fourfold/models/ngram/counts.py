"""The one count structure every smoothing method reads.

Each order is a table of the distinct n-grams sorted by (prefix, last token),
where the prefix and the suffix are indices into the table of the order below,
so no n-gram is ever written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fourfold.errors import UserError
from fourfold.kernels import Depths, Indices, Integers, add_occurrences, processors, refine
from fourfold.progress import track

MAX_ORDER = 10
DEEPEST = 255
NewArray = Callable[[int, Any], NDArray[Any]]
"""Makes room for so many numbers of a type: `numpy.empty`, or in a file."""
Shape = tuple[Indices, Indices, Indices]
"""Words, prefixes and suffixes of a table."""


@dataclass(frozen=True, kw_only=True)
class OrderCounts:
    """The n-grams of one order. The table of order 1 is dense: row i is token i."""

    words: Indices
    prefixes: Indices
    suffixes: Indices
    counts: Indices
    """How often each occurs."""
    continuations: Indices
    """How many different tokens come before it; its count for n-grams that begin at the document start,
    where nothing can (Chen & Goodman 1998, section 3; Heafield et al. 2013, section 3.1, 'adjusted counts')."""

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True, kw_only=True)
class NGramCounts:
    orders: tuple[OrderCounts, ...]
    vocabulary_size: int
    bos_id: int | None
    eos_id: int | None

    @property
    def order(self) -> int:
        return len(self.orders)

    @property
    def never_predicted(self) -> int | None:
        """The document start, unless it marks the end as well: it conditions and is never an outcome."""
        return None if self.bos_id == self.eos_id else self.bos_id

    @property
    def outcomes(self) -> int:
        """How many tokens can be predicted."""
        return self.vocabulary_size - (self.never_predicted is not None)

    def contexts(self, order: int) -> int:
        """How many contexts the n-grams of `order` can have."""
        return 1 if order == 1 else len(self.orders[order - 2])


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Documents laid end to end, each between its start and end marks."""

    tokens: Indices
    depth: Depths
    """How many tokens of the same document come before each token, at most `DEEPEST`: no order is that high."""


def join_documents(sequences: Iterable[ArrayLike]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One flat array of tokens and the end of each document in it."""
    arrays = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    ends = np.cumsum([len(array) for array in arrays], dtype=np.int64)
    return (np.concatenate(arrays) if arrays else np.empty(0, np.int64)), ends


def mark_documents(
    tokens: NDArray[np.integer], ends: Sequence[int] | Integers, bos: int | None, eos: int | None
) -> Stream:
    """Put the start and end marks around each document."""
    before, after = int(bos is not None), int(eos is not None)
    ends = np.asarray(ends, np.int64)
    lengths = np.diff(ends, prepend=0) + before + after
    starts = np.cumsum(lengths) - lengths
    total = int(lengths.sum())
    depth = np.arange(total, dtype=np.int32)
    depth -= np.repeat(starts.astype(np.int32), lengths)
    stream = np.empty(total, np.int32)
    inside = np.ones(total, np.bool_)
    if bos is not None:
        stream[starts], inside[starts] = bos, False
    if eos is not None:
        last = starts + lengths - 1
        stream[last], inside[last] = eos, False
    stream[inside] = tokens[: total - len(ends) * (before + after)]
    return Stream(tokens=stream, depth=np.minimum(depth, DEEPEST).astype(np.uint8))


def part_of(stream: Stream, chosen: NDArray[np.bool_]) -> Stream:
    """The documents all of whose tokens are chosen."""
    return Stream(tokens=stream.tokens[chosen], depth=stream.depth[chosen])


def locate(counts: NGramCounts, stream: Stream) -> list[Integers]:
    """For each order, the row of the n-gram that ends at each position; -1 where none was counted or lies within."""
    found = [stream.tokens.astype(np.int64)]
    for order, table in enumerate(counts.orders[1:], 2):
        keys = table.prefixes.astype(np.int64) * counts.vocabulary_size + table.words
        prefixes = np.append(-1, found[-1][:-1])
        wanted = prefixes * counts.vocabulary_size + stream.tokens
        rows = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        here = (prefixes >= 0) & (stream.depth >= order - 1)
        here &= keys[rows] == wanted if len(keys) else False
        found.append(np.where(here, rows, -1))
    return found


def count_ngrams(
    stream: Stream, order: int, vocabulary_size: int, bos_id: int | None, eos_id: int | None
) -> NGramCounts:
    """Count all n-grams up to `order` that lie within one document."""
    check_stream(stream, order, vocabulary_size)
    shapes: list[Shape] = []
    nodes = stream.tokens.copy()
    empty = np.zeros(vocabulary_size, np.int32)
    predicted = stream.tokens if bos_id is None else stream.tokens[stream.depth > 0]
    counts = [np.bincount(predicted, minlength=vocabulary_size).astype(np.int32)]
    shapes.append((np.arange(vocabulary_size, dtype=np.int32), empty, empty))
    openings: list[Indices] = [stream.tokens[stream.depth == 0]]
    for length in track(range(2, order + 1), "count n-grams", unit="orders"):
        found = refine(stream.tokens, stream.depth, nodes, length, len(counts[-1]), vocabulary_size)
        shapes.append((found.words, found.prefixes, found.suffixes))
        counts.append(found.counts)
        openings.append(nodes[stream.depth == length - 1])
    orders = with_continuations(shapes, counts, openings, bos_id)
    return NGramCounts(orders=orders, vocabulary_size=vocabulary_size, bos_id=bos_id, eos_id=eos_id)


def with_continuations(
    shapes: list[Shape], counts: list[Indices], openings: list[Indices], bos_id: int | None, new: NewArray = np.empty
) -> tuple[OrderCounts, ...]:
    """The tables of all orders; `openings` are the rows of each order that begin a document."""

    def table(level: int) -> OrderCounts:
        words, prefixes, suffixes = shapes[level]
        continuations = counts[level]
        if level + 1 < len(shapes):
            continuations = new(len(words), np.int32)
            continuations[:] = 0
            add_occurrences(shapes[level + 1][2], continuations)
            opening = np.unique(openings[level])
            if bos_id is None:
                continuations[opening] += 1  # the start is one more thing that can come before
            elif level:
                continuations[opening] = counts[level][opening]
        return OrderCounts(
            words=words, prefixes=prefixes, suffixes=suffixes, counts=counts[level], continuations=continuations
        )

    with ThreadPoolExecutor(processors()) as pool:
        return tuple(pool.map(table, range(len(shapes))))


def check_stream(stream: Stream, order: int, vocabulary_size: int) -> None:
    """Raise UserError for what cannot be counted."""
    if not 1 <= order <= MAX_ORDER:
        raise UserError("n-gram order out of range", expected=f"1 to {MAX_ORDER}", got=order)
    if vocabulary_size < 1:
        raise UserError("the vocabulary is empty", advice="Train the tokenizer on some text first.")
    if not len(stream.tokens) or not (stream.depth > 0).any():
        raise UserError("no tokens to count", advice="Give the n-gram model at least one document with text.")
    low, high = int(stream.tokens.min()), int(stream.tokens.max())
    if low < 0 or high >= vocabulary_size:
        wrong = low if low < 0 else high
        raise UserError("token id out of range", expected=f"0 to {vocabulary_size - 1}", got=wrong)
