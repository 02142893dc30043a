"""Word vectors from the words around: one pass of word2vec's gradient steps over some sentences.

A step predicts one word from a vector: skip-gram from the vector of one word near it, CBOW from the mean of all.
The prediction is against a few drawn words (negative sampling, Mikolov et al. 2013b, equation 4) or along the word's
path in a Huffman tree (hierarchical softmax, equation 3). Threads run this on the same matrices without locks
(Recht et al. 2011): what one overwrites of another's is rare and small.

Letters: V words, D vector size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels.grouping import Indices, Integers
from fourfold.kernels.jit import compiled_for_threads

Floats = NDArray[np.float32]

WORD = (1 << 32) - 1
MULTIPLIER = 698769069
"""Of a multiply-with-carry generator (Marsaglia 1994): the state stays below 2^62, its lower half is the number."""


class Draws(NamedTuple):
    """What chance decides, as numbers of 32 bits to compare with."""

    keep: Integers
    """(V,) an occurrence of the word is read if a random number is below this."""
    alias_limit: Integers
    """(V,) Walker's alias method for the negatives: below this the drawn column itself, else its alias."""
    alias: Indices


class Paths(NamedTuple):
    """The Huffman tree: inner nodes from the root to each word, and the turns there; empty for negative sampling."""

    start: Integers
    """(V + 1,) where each word's path begins in the two arrays below."""
    node: Indices
    turn: Floats
    """1 where the path goes left, the outcome that is predicted, else 0."""


class Shape(NamedTuple):
    """The choices of a run."""

    skip_gram: bool
    window: int
    negatives: int
    """0: along the tree."""


class Work(NamedTuple):
    """Everything a step reads and changes."""

    inputs: Floats
    """(V, D) the vectors."""
    outputs: Floats
    """(V, D) one row a word, or an inner node of the tree."""
    draws: Draws
    paths: Paths
    shape: Shape
    rate: float
    hidden: Floats
    """(D,) what predicts."""
    error: Floats
    """(D,) how it should change."""
    rows: Integers
    slopes: Floats


def new_work(inputs: Floats, outputs: Floats, draws: Draws, paths: Paths, shape: Shape, rate: float) -> Work:
    """The work of one thread, with scratch of its own."""
    size, most = inputs.shape[1], shape.negatives + 1
    hidden, error = np.zeros(size, np.float32), np.zeros(size, np.float32)
    scratch = hidden, error, np.zeros(most, np.int64), np.zeros(most, np.float32)
    return Work(inputs, outputs, draws, paths, shape, rate, *scratch)


@compiled_for_threads
def train_contexts(work: Work, tokens: Indices, ends: Integers, state: int) -> int:
    """Change the matrices by the sentences `tokens[ends[s - 1] : ends[s]]`; returns how many words were kept."""
    shape = work.shape
    kept = np.empty(len(tokens), np.int32)
    begin, total = 0, 0
    for end in ends:
        length = 0
        for position in range(begin, end):
            state = MULTIPLIER * (state & WORD) + (state >> 32)
            if (state & WORD) < work.draws.keep[tokens[position]]:
                kept[length] = tokens[position]
                length += 1
        for centre in range(length):
            state = MULTIPLIER * (state & WORD) + (state >> 32)
            reach = 1 + ((state & WORD) * shape.window >> 32)
            first, last = max(0, centre - reach), min(length, centre + reach + 1)
            if shape.skip_gram:
                state = _skip_gram(work, kept, centre, first, last, state)
            elif last - first > 1:
                state = _cbow(work, kept, centre, first, last, state)
        begin = end
        total += length
    return total


@compiled_for_threads
def _skip_gram(work: Work, kept: Indices, centre: int, first: int, last: int, state: int) -> int:
    """Predict the centre from each word near it."""
    for near in range(first, last):
        if near != centre:
            row = kept[near]
            for d in range(len(work.hidden)):
                work.hidden[d] = work.inputs[row, d]
                work.error[d] = 0
            state = _predict(work, kept[centre], state)
            for d in range(len(work.hidden)):
                work.inputs[row, d] += work.error[d]
    return state


@compiled_for_threads
def _cbow(work: Work, kept: Indices, centre: int, first: int, last: int, state: int) -> int:
    """Predict the centre from the mean of the words near it; each gets the whole error, as in the authors' program."""
    work.hidden[:] = 0
    work.error[:] = 0
    share = np.float32(1 / (last - first - 1))
    for near in range(first, last):
        if near != centre:
            for d in range(len(work.hidden)):
                work.hidden[d] += share * work.inputs[kept[near], d]
    state = _predict(work, kept[centre], state)
    for near in range(first, last):
        if near != centre:
            for d in range(len(work.hidden)):
                work.inputs[kept[near], d] += work.error[d]
    return state


@compiled_for_threads
def _predict(work: Work, target: int, state: int) -> int:
    """Steps on the outputs for one word, their pull on `hidden` added to `error`."""
    outputs, hidden, error, rows, slopes = work.outputs, work.hidden, work.error, work.rows, work.slopes
    if work.shape.negatives == 0:
        for step in range(work.paths.start[target], work.paths.start[target + 1]):
            node = work.paths.node[step]
            slope = _slope(_product(outputs, node, hidden), work.paths.turn[step], work.rate)
            _change(outputs, node, slope, hidden, error)
        return state
    # All rows are drawn and multiplied before the first is changed, so that the waits for memory overlap.
    rows[0], count = target, 1
    for _ in range(work.shape.negatives):
        state = MULTIPLIER * (state & WORD) + (state >> 32)
        scaled = (state & WORD) * len(work.draws.alias)
        column = scaled >> 32
        drawn = column if (scaled & WORD) < work.draws.alias_limit[column] else work.draws.alias[column]
        if drawn != target:
            rows[count] = drawn
            count += 1
    for i in range(count):
        slopes[i] = _slope(_product(outputs, rows[i], hidden), 1.0 if i == 0 else 0.0, work.rate)
    for i in range(count):
        _change(outputs, rows[i], slopes[i], hidden, error)
    return state


@compiled_for_threads
def _product(outputs: Floats, row: int, hidden: Floats) -> np.float32:
    product = np.float32(0)
    for d in range(len(hidden)):
        product += hidden[d] * outputs[row, d]
    return product


@compiled_for_threads
def _change(outputs: Floats, row: int, slope: np.float32, hidden: Floats, error: Floats) -> None:
    """One step of logistic regression on one row of the outputs."""
    for d in range(len(hidden)):
        error[d] += slope * outputs[row, d]
        outputs[row, d] += slope * hidden[d]


@compiled_for_threads
def _slope(product: np.float32, label: float, rate: float) -> np.float32:
    return np.float32((label - 1 / (1 + math.exp(-product))) * rate)


def train_contexts_plain(work: Work, tokens: Indices, ends: Integers, state: int) -> int:
    """The same one prediction at a time, with numpy."""
    numbers = _numbers(state)
    begin, total = 0, 0
    for end in ends:
        kept = [word for word in tokens[begin:end] if next(numbers) < work.draws.keep[word]]
        for centre, target in enumerate(kept):
            reach = 1 + (next(numbers) * work.shape.window >> 32)
            near = [*kept[max(0, centre - reach) : centre], *kept[centre + 1 : centre + reach + 1]]
            for words in ([word] for word in near) if work.shape.skip_gram else [near] if near else []:
                _predict_plain(work, words, target, numbers)
        begin = end
        total += len(kept)
    return total


def _numbers(state: int) -> Iterator[int]:
    while True:
        state = MULTIPLIER * (state & WORD) + (state >> 32)
        yield state & WORD


def _predict_plain(work: Work, words: list[int], target: int, numbers: Iterator[int]) -> None:
    if work.shape.negatives == 0:
        path = slice(work.paths.start[target], work.paths.start[target + 1])
        rows, labels = work.paths.node[path], work.paths.turn[path]
    else:
        drawn = [_draw(work.draws, next(numbers)) for _ in range(work.shape.negatives)]
        rows = np.array([target, *(word for word in drawn if word != target)], np.int32)
        labels = (np.arange(len(rows)) == 0).astype(np.float32)
    hidden = work.inputs[words].mean(axis=0)
    slopes = (labels - 1 / (1 + np.exp(-(work.outputs[rows] @ hidden)))) * np.float32(work.rate)
    error = np.zeros_like(hidden)
    for row, slope in zip(rows, slopes, strict=True):  # a row may be drawn twice
        error += slope * work.outputs[row]
        work.outputs[row] += slope * hidden
    for word in words:
        work.inputs[word] += error


def _draw(draws: Draws, number: int) -> int:
    column, rest = divmod(number * len(draws.alias), 1 << 32)
    return column if rest < draws.alias_limit[column] else int(draws.alias[column])
