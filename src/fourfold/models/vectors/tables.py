"""What a training looks up: which words are kept or drawn as negatives, and their paths in the tree."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels import ContextDraws, ContextPaths

SCALE = 1 << 32
NEGATIVE_POWER = 0.75


def make_draws(counts: NDArray[np.int64], sample: float) -> ContextDraws:
    limits, alias = alias_table(counts.astype(np.float64) ** NEGATIVE_POWER)
    return ContextDraws(_scaled(keep_probabilities(counts, sample)), _scaled(limits), alias)


def keep_probabilities(counts: NDArray[np.int64], sample: float) -> NDArray[np.float64]:
    """sqrt(t / f) + t / f for a word of share f: what the authors' program does, a little more than the paper's
    sqrt(t / f) (Mikolov et al. 2013b, equation 5)."""
    if sample == 0:
        return np.ones(len(counts))
    share = sample * counts.sum() / np.maximum(counts, 1)
    kept: NDArray[np.float64] = np.minimum(np.sqrt(share) + share, 1)
    return kept


def alias_table(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Walker's alias method: draw a column, and take it with its limit's probability, else its alias."""
    limits = weights * (len(weights) / weights.sum())
    alias = np.arange(len(weights), dtype=np.int32)
    small = np.flatnonzero(limits < 1).tolist()
    large = np.flatnonzero(limits >= 1).tolist()
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        limits[high] -= 1 - limits[low]
        if limits[high] < 1:
            small.append(large.pop())
    limits[[*small, *large]] = 1  # what is left is 1 but for rounding
    return limits, alias


def make_paths(counts: NDArray[np.int64]) -> ContextPaths:
    """The Huffman tree of V words: V - 1 inner nodes, numbered from the root down; frequent words are near the root."""
    size = len(counts)
    heap = [(int(count), word) for word, count in enumerate(counts)]
    heapq.heapify(heap)
    parent, turn = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.float32)
    for node in range(size, 2 * size - 1):
        (left, a), (right, b) = heapq.heappop(heap), heapq.heappop(heap)
        parent[[a, b]], turn[a] = node, 1
        heapq.heappush(heap, (left + right, node))
    paths = [_path(word, parent, turn, 2 * size - 2) for word in range(size)]
    return ContextPaths(
        np.cumsum([0, *(len(nodes) for nodes, _ in paths)], dtype=np.int64),
        np.array([node for nodes, _ in paths for node in nodes], np.int32),
        np.array([turn for _, turns in paths for turn in turns], np.float32),
    )


def no_paths(size: int) -> ContextPaths:
    return ContextPaths(np.zeros(size + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


def _path(word: int, parent: NDArray[np.int64], turn: NDArray[np.float32], root: int) -> tuple[list[int], list[float]]:
    nodes, turns = [], []
    while word != root:
        turns.append(float(turn[word]))
        word = int(parent[word])
        nodes.append(root - word)
    return nodes[::-1], turns[::-1]


def _scaled(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(probabilities * SCALE).astype(np.int64)
