"""A library of passages in memory: the double of a document index, with plain BM25 over the same terms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pytest

from fourfold.utilization.retrieval import Hit, Passage, terms_of

class Library:
    """`search`, `passage`, `frequencies` and `len` as `DocumentIndex` has them."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self.held = {passage.id: passage for passage in passages}
        self.counts = {id: Counter(terms_of(passage.text)) for id, passage in self.held.items()}
        self.df = Counter(word for counts in self.counts.values() for word in counts)
        self.mean = sum(c.total() for c in self.counts.values()) / max(len(self.counts), 1)
        self.lists: dict[str, list[str]] = {}
        for id, counts in self.counts.items():
            for word in counts:
                self.lists.setdefault(word, []).append(id)

    def __len__(self) -> int:
        return len(self.held)

    def frequencies(self, wanted: Sequence[str]) -> Mapping[str, int]:
        return {word: self.df[word] for word in wanted}

    def passage(self, id: str) -> Passage:
        return self.held[id]

    def search(self, question: str, k: int = 8, method: str = "bm25") -> list[Hit]:
        scores: Counter[str] = Counter()
        for word in set(terms_of(question)):
            idf = math.log(1 + (len(self.held) - self.df[word] + 0.5) / (self.df[word] + 0.5))
            for id in self.lists.get(word, ()):
                n = self.counts[id][word]
                length = self.counts[id].total() / self.mean
                scores[id] += idf * n * 2.2 / (n + 1.2 * (0.25 + 0.75 * length))
        return [Hit(passage=self.held[id], score=score, method=method) for id, score in scores.most_common(k)]


@pytest.fixture
def library():
    return Library
