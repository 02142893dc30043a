"""New tokens for a vocabulary that is there: byte-pair merging goes on where it stopped, on another text.

The new merges come after all old ones, so they join what the old rules leave apart and change nothing else: a text
encoded with the extended tokenizer, each new token written as its pieces, is the text encoded with the old one.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import tokenizers

from fourfold.errors import UserError
from fourfold.progress import task
from fourfold.tokenizers.tokenizer import Tokenizer

FEWEST = 2
"""How often a pair must stand in the text to become a token, as in training."""
Pair = tuple[int, int]


class Extension(NamedTuple):
    """An extended tokenizer, and what its new tokens are made of."""

    tokenizer: Tokenizer
    pieces: dict[int, list[int]]
    """Of each new id, the ids the old tokenizer would write."""


def extend_tokenizer(tokenizer: Tokenizer, texts: Iterable[str], tokens: int) -> Extension:
    """Up to `tokens` new tokens for these texts (Sennrich et al. 2016, algorithm 1, begun at the old vocabulary).

    Their ids follow the last old one. UserError for a vocabulary that is not made of byte-pair merges.
    """
    core = tokenizer.core_copy()
    values = json.loads(core.to_str())
    model = values["model"]
    if model["type"] != "BPE" or model.get("dropout"):
        raise UserError(
            "only a vocabulary of byte-pair merges can be extended", expected="BPE",
            got=model["type"], advice="Train a new tokenizer: fourfold tokenizer train.",
        )  # fmt: skip
    if tokens < 1:
        raise UserError("the number of new tokens is out of range", expected="1 or more", got=tokens)
    words = _Words(_count_words(core, texts))
    names = {id: name for name, id in core.get_vocab(with_added_tokens=False).items()}
    known, first = set(names.values()), tokenizer.vocabulary_size
    merges: list[Pair] = []
    pieces: dict[int, list[int]] = {}
    with task("extend the vocabulary", tokens, "tokens") as work:
        while len(merges) < tokens and (pair := words.most_frequent(lambda a, b: names[a] + names[b] in known)):
            id = first + len(merges)
            names[id] = names[pair[0]] + names[pair[1]]
            known.add(names[id])
            pieces[id] = [old for part in pair for old in pieces.get(part, [part])]
            merges.append(pair)
            words.merge(pair, id)
            work.advance()
    _append(model, values["added_tokens"], names, merges, first)
    extended = tokenizers.Tokenizer.from_str(json.dumps(values, ensure_ascii=False))
    return Extension(tokenizer.with_core(extended), pieces)


def _count_words(core: tokenizers.Tokenizer, texts: Iterable[str]) -> Counter[tuple[int, ...]]:
    """How often each word stands in the texts, as the old ids of its pieces."""
    spelt: Counter[str] = Counter()
    for text in texts:
        normal = text if core.normalizer is None else core.normalizer.normalize_str(text)
        if core.pre_tokenizer is None:
            spelt[normal] += 1
        else:
            spelt.update(word for word, _ in core.pre_tokenizer.pre_tokenize_str(normal))
    counted: Counter[tuple[int, ...]] = Counter()
    for word, times in spelt.items():
        counted[tuple(token.id for token in core.model.tokenize(word))] += times
    return counted


class _Words:
    """Distinct words with their counts, and where each pair of neighbours stands."""

    def __init__(self, counted: Counter[tuple[int, ...]]) -> None:
        self.words = [list(word) for word in counted]
        self.times = list(counted.values())
        self.pairs: Counter[Pair] = Counter()
        self.places: defaultdict[Pair, set[int]] = defaultdict(set)
        for index in range(len(self.words)):
            self._count(index, 1)
        self.queue = [(-times, pair) for pair, times in self.pairs.items()]
        """With the number of times a pair stood when it was queued; outdated entries are passed over."""
        heapq.heapify(self.queue)

    def most_frequent(self, taken: Callable[[int, int], bool]) -> Pair | None:
        """The pair that stands most often and whose joined name is not taken; of equals the smallest ids."""
        while self.queue:
            times, pair = heapq.heappop(self.queue)
            if -times < FEWEST:
                return None
            if self.pairs[pair] == -times and not taken(*pair):  # else changed, or another spelling of a token
                return pair
        return None

    def merge(self, pair: Pair, id: int) -> None:
        touched: set[Pair] = set()
        for index in sorted(self.places[pair]):
            touched |= self._count(index, -1)
            self.words[index] = _joined(self.words[index], pair, id)
            touched |= self._count(index, 1)
        del self.pairs[pair], self.places[pair]
        for changed in touched - {pair}:
            heapq.heappush(self.queue, (-self.pairs[changed], changed))

    def _count(self, index: int, sign: int) -> set[Pair]:
        word, times = self.words[index], self.times[index]
        for pair in pairwise(word):
            self.pairs[pair] += sign * times
            if sign > 0:
                self.places[pair].add(index)
        return set(pairwise(word))


def _joined(word: list[int], pair: Pair, id: int) -> list[int]:
    """The word with every occurrence of the pair, from the left, as one token."""
    out: list[int] = []
    for token in word:
        if out and (out[-1], token) == pair:
            out[-1] = id
        else:
            out.append(token)
    return out


def _append(
    model: dict[str, Any], added: list[dict[str, Any]], names: dict[int, str], merges: list[Pair], first: int
) -> None:
    """Write merges and tokens at the end of the vocabulary.

    Special tokens are entered in it too: the library numbers those it does not find there after the last entry, which
    would move them.
    """
    old = model["merges"]
    as_text = bool(old) and isinstance(old[0], str)
    old.extend(f"{names[a]} {names[b]}" if as_text else [names[a], names[b]] for a, b in merges)
    model["vocab"] |= {token["content"]: token["id"] for token in added}
    model["vocab"] |= {names[first + number]: first + number for number in range(len(merges))}
