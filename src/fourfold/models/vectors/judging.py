"""How good word vectors are: analogy questions answered, and similarities beside people's.

Letters: Q questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fourfold.errors import UserError
from fourfold.files import read_text
from fourfold.models.vectors.vectors import Method, StaticVectors
from fourfold.progress import track

BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Analogies:
    """Answers to a section of questions `a b c d`: b is to a as d is to c."""

    section: str
    right: int
    asked: int
    """Questions all of whose words have vectors."""
    questions: int

    @property
    def accuracy(self) -> float | None:
        return self.right / self.asked if self.asked else None


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Cosines beside people's judgements of pairs."""

    spearman: float | None
    """None: fewer than three pairs are known."""
    known: int
    """Pairs whose words both have vectors."""
    pairs: int


def is_analogies(path: Path) -> bool:
    """Such files part their sections by lines that begin with a colon; similarity files have none."""
    return any(line.startswith(":") for line in read_text(path).splitlines())


def answer_analogies(
    vectors: StaticVectors, path: Path, *, method: Method = "add", limit: int = 300_000, fold_case: bool = True
) -> list[Analogies]:
    """One entry a section of a questions-words file, then the total. Answers come from the first `limit` words.

    With `fold_case`, capitals do not count: of words that differ in them alone the most frequent stands for all.
    """
    fold = str.upper if fold_case else str
    rows: dict[str, int] = {}
    for row, word in enumerate(vectors.words[:limit]):
        rows.setdefault(fold(word), row)
    chosen = StaticVectors([vectors.words[row] for row in rows.values()], vectors.matrix[list(rows.values())])
    place = {word: number for number, word in enumerate(rows)}
    results = []
    for name, questions in track(_sections(path), "analogies", unit="sections"):
        known = [[place[fold(word)] for word in q] for q in questions if all(fold(word) in place for word in q)]
        right = _count_right(chosen, np.array(known, np.int64).reshape(-1, 4), method)
        results.append(Analogies(section=name, right=right, asked=len(known), questions=len(questions)))
    sums = (sum(getattr(result, part) for result in results) for part in ("right", "asked", "questions"))
    right, asked, all_questions = sums
    return [*results, Analogies(section="total", right=right, asked=asked, questions=all_questions)]


def compare_similarities(vectors: StaticVectors, path: Path, *, fold_case: bool = True) -> Similarity:
    """Spearman's correlation over the pairs of a file `word word number` parted by tabs, commas or spaces."""
    fold = str.upper if fold_case else str
    rows: dict[str, int] = {}
    for row, word in enumerate(vectors.words):
        rows.setdefault(fold(word), row)
    pairs = _pairs(path)
    known = [(rows[fold(a)], rows[fold(b)], score) for a, b, score in pairs if fold(a) in rows and fold(b) in rows]
    if len(known) < 3:
        return Similarity(spearman=None, known=len(known), pairs=len(pairs))
    left, right, scores = (np.array(column) for column in zip(*known, strict=True))
    cosines = (vectors.unit[left] * vectors.unit[right]).sum(axis=1)
    return Similarity(spearman=spearman(cosines, scores), known=len(known), pairs=len(pairs))


def spearman(one: ArrayLike, other: ArrayLike) -> float:
    """Pearson's correlation of the ranks, ties at their mean rank (Spearman 1904)."""
    return float(np.corrcoef(_ranks(np.asarray(one)), _ranks(np.asarray(other)))[0, 1])


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks


def _count_right(vectors: StaticVectors, questions: NDArray[np.int64], method: Method) -> int:
    right = 0
    for at in range(0, len(questions), BATCH):
        batch = questions[at : at + BATCH]
        right += int((vectors.solve(batch[:, :3], method, len(vectors)) == batch[:, 3]).sum())
    return right


def _sections(path: Path) -> list[tuple[str, list[Sequence[str]]]]:
    sections: list[tuple[str, list[Sequence[str]]]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        parts = line.split()
        if line.startswith(":"):
            sections.append((line[1:].strip(), []))
        elif parts and (len(parts) != 4 or not sections):
            expected = "four words" if sections else "a section first, ': name'"
            raise UserError("not an analogy question", where=f"{path}:{number}", expected=expected, got=repr(line[:60]))
        elif parts:
            sections[-1][1].append(parts)
    return sections


def _pairs(path: Path) -> list[tuple[str, str, float]]:
    pairs = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        parts = line.split("\t") if "\t" in line else line.split(",") if "," in line else line.split()
        try:
            pairs.append((parts[0].strip(), parts[1].strip(), float(parts[2])))
        except (IndexError, ValueError):
            if number == 1:  # names of the columns
                continue
            raise UserError("not a pair of words and a number", where=f"{path}:{number}", got=repr(line[:60])) from None
    if not pairs:
        raise UserError("no pairs of words", where=path, expected="lines 'word word number'")
    return pairs
