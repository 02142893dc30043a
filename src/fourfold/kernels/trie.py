"""Queries of a back-off n-gram model kept as a trie with suffix links.

Node 0 is the empty context, nodes 1..V are the single tokens, then the longer
n-grams, order by order, sorted by (parent, last token). The children of node x
are the nodes `first_child[x] .. first_child[x + 1]`; `suffix[x]` is the node of
the n-gram without its first token. A context is one node, so advancing by a
token is one search on a match and one hop along `suffix` for every back-off.

Letters: B rows, T tokens of a row, V vocabulary size, N nodes asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels.grouping import Indices, Integers
from fourfold.kernels.jit import compiled

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Codes = NDArray[np.uint8] | NDArray[np.uint16]


NO_BOOK: Floats = np.empty(0, np.float32)


class Trie(NamedTuple):
    """The arrays of a back-off model; probabilities are natural logarithms, or numbers of entries in a book of some."""

    word: Indices
    """Last token of each node."""
    suffix: Indices
    log_prob: NDArray[Any]
    """Floats, or codes where there is a book."""
    first_child: Indices
    """For the nodes that can be contexts, and one more."""
    back_off: NDArray[Any]
    """For the nodes that can be contexts."""
    log_prob_book: Floats = NO_BOOK
    back_off_book: Floats = NO_BOOK


def unpacked(trie: Trie) -> Trie:
    """The same with every number in place."""
    if not len(trie.log_prob_book):
        return trie
    log_prob, back_off = trie.log_prob_book[trie.log_prob], trie.back_off_book[trie.back_off]
    return Trie(trie.word, trie.suffix, log_prob, trie.first_child, back_off)


@compiled
def _look_up(book: Floats, value: float) -> float:
    """The number itself, or the entry it stands for."""
    if len(book):
        return float(book[int(value)])
    return float(value)


@compiled
def _step(trie: Trie, node: int, token: int) -> tuple[int, float]:
    """The context after `token` and log P(token | the context `node`)."""
    weight = 0.0
    while node != 0:
        low, end = trie.first_child[node], trie.first_child[node + 1]
        left = end - low
        while left > 0:  # halves without a branch to guess: the searches of several rows overlap
            half = (left + 1) >> 1
            low += half * (trie.word[low + half - 1] < token)
            left -= half
        if low < end and trie.word[low] == token:
            after = low if low < len(trie.back_off) else trie.suffix[low]
            return after, weight + _look_up(trie.log_prob_book, trie.log_prob[low])
        weight += _look_up(trie.back_off_book, trie.back_off[node])
        node = trie.suffix[node]
    child = token + 1
    after = child if child < len(trie.back_off) else 0
    return after, weight + _look_up(trie.log_prob_book, trie.log_prob[child])


@compiled
def walk(trie: Trie, ids: Integers, lengths: Integers, fresh: Flags, start: Integers) -> Integers:
    """(B, T) context nodes after each token; rows begin at node `start[b]` and again at 0 where `fresh`."""
    nodes = np.zeros(ids.shape, np.int64)
    for row in range(ids.shape[0]):
        node = start[row]
        for column in range(lengths[row]):
            if fresh[row, column]:
                node = 0
            node, _ = _step(trie, node, ids[row, column])
            nodes[row, column] = node
    return nodes


@compiled
def walk_scored(
    trie: Trie, ids: Integers, targets: Integers, lengths: Integers, fresh: Flags, start: Integers
) -> tuple[Integers, Floats]:
    """`walk`, and (B, T) log P(target | context); 0 beyond `lengths` and for negative (ignored) targets.

    Where a target is the next id, the search that scored it has found the next context too. All rows are searched
    together, so that the processor looks up one while it waits for another.
    """
    size = len(start)
    nodes = np.zeros(ids.shape, np.int64)
    scores = np.zeros(ids.shape, np.float32)
    last, after = start.copy(), np.zeros(size, np.int64)
    asked = _new_searches(size)
    for column in range(ids.shape[1]):
        count = 0
        for row in range(size):
            if column < lengths[row]:
                token, new = ids[row, column], fresh[row, column]
                if column and not new and token == targets[row, column - 1]:
                    last[row] = after[row]
                else:
                    count = _ask(asked, count, row, 0 if new else last[row], token)
        if count:
            _search(trie, asked, count)
        for place in range(count):
            last[asked.row[place]] = asked.after[place]
        count = 0
        for row in range(size):
            if column < lengths[row]:
                nodes[row, column] = last[row]
                if targets[row, column] >= 0:
                    count = _ask(asked, count, row, last[row], targets[row, column])
        _search(trie, asked, count)
        for place in range(count):
            row = asked.row[place]
            after[row], scores[row, column] = asked.after[place], asked.found[place]
    return nodes, scores


class _Searches(NamedTuple):
    """Steps taken together: what each is asked and what it found, and where it stands."""

    row: Integers
    token: Integers
    node: Integers
    after: Integers
    found: NDArray[np.float64]
    low: Integers
    end: Integers
    left: Integers
    active: Integers
    """Searches that are not at an end."""
    halving: Integers
    """Those among the children of their node."""


@compiled
def _new_searches(size: int) -> _Searches:
    row, token, node, after = (np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64),
                               np.empty(size, np.int64))  # fmt: skip
    low, end, left = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    active, halving = np.empty(size, np.int64), np.empty(size, np.int64)
    return _Searches(row, token, node, after, np.empty(size, np.float64), low, end, left, active, halving)


@compiled
def _ask(asked: _Searches, count: int, row: int, node: int, token: int) -> int:
    asked.row[count], asked.node[count], asked.token[count] = row, node, token
    return count + 1


@compiled
def _search(trie: Trie, asked: _Searches, count: int) -> None:
    """`_step` for the first `count` questions, all one move at a time."""
    active, halving, low, left = asked.active, asked.halving, asked.low, asked.left
    for place in range(count):
        asked.found[place], active[place] = 0.0, place
    while count:
        searched = 0
        for number in range(count):
            place = active[number]
            node = asked.node[place]
            low[place], asked.end[place] = trie.first_child[node], trie.first_child[node + 1]
            left[place] = (asked.end[place] - low[place]) * (node != 0)  # a token's own node needs no search
            halving[searched] = place
            searched += left[place] > 0
        while searched:
            still = 0
            for number in range(searched):
                place = halving[number]
                half = (left[place] + 1) >> 1
                low[place] += half * (trie.word[low[place] + half - 1] < asked.token[place])
                left[place] -= half
                halving[still] = place
                still += left[place] > 0
            searched = still
        still = 0
        for number in range(count):
            place = active[number]
            node, token, child = asked.node[place], asked.token[place], low[place]
            if node == 0:
                child = token + 1
                asked.after[place] = child if child < len(trie.back_off) else 0
            elif child < asked.end[place] and trie.word[child] == token:
                asked.after[place] = child if child < len(trie.back_off) else trie.suffix[child]
            else:
                asked.found[place] += _look_up(trie.back_off_book, trie.back_off[node])
                asked.node[place] = trie.suffix[node]
                active[still] = place
                still += 1
                continue
            asked.found[place] += _look_up(trie.log_prob_book, trie.log_prob[child])
        count = still


@compiled
def dense_rows(trie: Trie, nodes: Integers, vocabulary_size: int) -> Floats:
    """(N, V) log-probabilities of every token: short contexts first, longer ones written over them."""
    rows = np.empty((len(nodes), vocabulary_size), np.float32)
    chain = np.empty(64, np.int64)
    for row in range(len(nodes)):
        depth, weight, node = 0, 0.0, nodes[row]
        while node != 0:
            chain[depth] = node
            depth += 1
            weight += _look_up(trie.back_off_book, trie.back_off[node])
            node = trie.suffix[node]
        for token in range(vocabulary_size):
            rows[row, token] = _look_up(trie.log_prob_book, trie.log_prob[token + 1]) + weight
        for level in range(depth - 1, -1, -1):
            node = chain[level]
            weight = 0.0
            for longer in range(level):
                weight += _look_up(trie.back_off_book, trie.back_off[chain[longer]])
            for child in range(trie.first_child[node], trie.first_child[node + 1]):
                rows[row, trie.word[child]] = _look_up(trie.log_prob_book, trie.log_prob[child]) + weight
    return rows


def walk_plain(trie: Trie, ids: Integers, lengths: Integers, fresh: Flags, start: Integers) -> Integers:
    """The same with dictionaries: the longest stored suffix of what was read so far."""
    children = _children(trie)
    nodes = np.zeros(ids.shape, np.int64)
    for row, column in np.ndindex(*ids.shape):
        if column < lengths[row]:
            context = 0 if fresh[row, column] else (nodes[row, column - 1] if column else start[row])
            while context and (int(context), int(ids[row, column])) not in children:
                context = trie.suffix[context]
            found = children[int(context), int(ids[row, column])]
            nodes[row, column] = found if found < len(trie.back_off) else trie.suffix[found]
    return nodes


def walk_scored_plain(
    trie: Trie, ids: Integers, targets: Integers, lengths: Integers, fresh: Flags, start: Integers
) -> tuple[Integers, Floats]:
    """The same through the dense rows."""
    nodes = walk_plain(trie, ids, lengths, fresh, start)
    rows = dense_rows_plain(trie, nodes.reshape(-1), int(trie.first_child[1]) - 1).reshape(*nodes.shape, -1)
    scores = np.take_along_axis(rows, np.maximum(targets, 0)[..., None], axis=-1)[..., 0]
    wanted = (np.arange(nodes.shape[1]) < lengths[:, None]) & (targets >= 0)
    return nodes, np.where(wanted, scores, 0).astype(np.float32)


def dense_rows_plain(trie: Trie, nodes: Integers, vocabulary_size: int) -> Floats:
    """The same one node at a time: the lower order's row, backed off, with the stored children on top."""
    trie = unpacked(trie)

    def row(node: int) -> NDArray[np.float64]:
        if node == 0:
            return trie.log_prob[1 : vocabulary_size + 1].astype(np.float64)
        result: NDArray[np.float64] = row(int(trie.suffix[node])) + trie.back_off[node]
        children = slice(trie.first_child[node], trie.first_child[node + 1])
        result[trie.word[children]] = trie.log_prob[children]
        return result

    rows = [row(int(node)) for node in nodes]
    return np.array(rows, np.float32).reshape(len(nodes), vocabulary_size)


def _children(trie: Trie) -> dict[tuple[int, int], int]:
    parents = np.repeat(np.arange(len(trie.back_off)), np.diff(trie.first_child))
    return {
        (int(parent), int(token)): node
        for node, (parent, token) in enumerate(zip(parents, trie.word[1:], strict=True), 1)
    }
