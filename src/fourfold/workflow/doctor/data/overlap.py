"""Training data against evaluation sets: items whose words stand here, by 13-grams (Brown et al. 2020, appendix C).

Departure: an item counts when four fifths of its 13-grams occur, not one, so that a common phrase or a question of the
same pattern makes no hit (the share of Touvron et al. 2023b, section A.6); an item of 8 to 12 words counts when it
occurs whole, a shorter one not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fourfold.measures import words_of
from fourfold.progress import track
from fourfold.workflow.doctor.data.layouts import QUESTIONS, TEXTS
from fourfold.workflow.doctor.data.reading import Data, Lines
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind, listed

ORDER, SHORTEST = 13, 8
SHARE = 0.8

OVERLAP = kind("test-overlap")
UNREADABLE = kind("test-unreadable")


class Items:
    """The n-grams of one evaluation set, and which of them were met."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owners: dict[bytes, set[int]] = {}
        self.sizes: dict[int, int] = {}
        """N-grams of each item, by its line."""
        self.met: dict[int, set[bytes]] = {}
        self.places: dict[int, int] = {}
        """The first line of the data that holds a part of an item."""
        self.orders: set[int] = set()
        for line, record in Lines(path, None):
            self._add(line, words_of(question_of(record)))

    def _add(self, line: int, words: list[str]) -> None:
        order = min(ORDER, len(words))
        if order < SHORTEST:
            return
        grams = set(grams_of(words, order))
        self.orders.add(order)
        self.sizes[line] = len(grams)
        for gram in grams:
            self.owners.setdefault(gram, set()).add(line)

    def meet(self, line: int, words: list[str]) -> None:
        """The words of one training record."""
        for order in self.orders:
            for gram in grams_of(words, order):
                for item in self.owners.get(gram, ()):
                    self.met.setdefault(item, set()).add(gram)
                    self.places.setdefault(item, line)

    @property
    def hits(self) -> list[int]:
        return sorted(item for item, met in self.met.items() if len(met) >= SHARE * self.sizes[item])


def check(data: Data) -> Iterator[Outcome]:
    sets = [Items(path) for path in data.against]
    if not sets:
        return
    for row in track(data.good, "overlap", unit="records"):
        words = words_of("\n".join(turn.text for turn in (*row.turns, *row.chosen, *row.rejected)))
        for items in sets:
            items.meet(row.line, words)
    for items in sets:
        name, hits, count = items.path.name, items.hits, len(items.sizes)
        if not count:
            yield UNREADABLE.at(name, name=name)
        elif hits:
            line = items.places[hits[0]]
            yield OVERLAP.at(
                data.at(line), count=len(hits), all=count, name=name, line=line, item=hits[0], items=listed(hits)
            )
        else:
            told = Words(f"none of {count:,} items of {name}", f"{name} 的 {count:,} 道题均未出现")
            yield Fact(f"overlap:{name}", Words("overlap", "重叠"), told)


def question_of(record: Any) -> str:
    """What an evaluation item asks; of an item of unknown form all of its texts."""
    if isinstance(record, str):
        return record
    if not isinstance(record, dict):
        return ""
    for key in (*QUESTIONS, "instruction", "sentence", "goal", "context", "ctx", *TEXTS):
        if isinstance(record.get(key), str) and record[key].strip():
            return str(record[key])
    return "\n".join(value for value in record.values() if isinstance(value, str))


def grams_of(words: list[str], order: int) -> Iterator[bytes]:
    for at in range(len(words) - order + 1):
        yield blake2b(" ".join(words[at : at + order]).encode(errors="replace"), digest_size=8).digest()


CHECK: Check[Data] = Check(title=Words("Overlap with tests", "与测试集重叠"), run=check, kinds=(OVERLAP, UNREADABLE))
