"""How well a downstream task was done: a score a record, intervals over groups, and what pre-training was worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.adaptation.downstream.records import Record, TaskKind
from fourfold.measures import (
    Interval,
    PairedResult,
    exact_match,
    ngram_overlap,
    normalise_answer,
    ratio_difference,
    ratio_interval,
    words_of,
)

Answer = str | list[str]
"""What a model said of a record: a class or a text, or one tag for each of the record's."""


class Score(NamedTuple):
    """So many points out of so many."""

    points: float
    of: float


def rouge_l(words: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence (ROUGE-L; Lin 2004, section 3.1, with beta 1)."""
    lengths = [0] * (len(reference) + 1)
    for word in words:
        before = 0
        for place, other in enumerate(reference, 1):
            above = lengths[place]
            lengths[place] = before + 1 if word == other else max(above, lengths[place - 1])
            before = above
    return 2 * lengths[-1] / (len(words) + len(reference)) if lengths[-1] else 0.0


def score_records(kind: TaskKind, records: Sequence[Record], answers: Sequence[Answer]) -> dict[str, list[Score]]:
    """One score a record and metric: `accuracy`; `exact_match` and `f1` (SQuAD's); `rouge_l`."""
    pairs = list(zip(records, answers, strict=True))
    if kind == "classification":
        return {"accuracy": [Score(float(answer == record.answer), 1.0) for record, answer in pairs]}
    if kind == "tagging":
        return {"accuracy": [Score(_agreeing(record, answer), len(record.tags)) for record, answer in pairs]}
    if kind == "seq2seq":
        return {"rouge_l": [Score(rouge_l(words_of(str(a)), words_of(record.answer)), 1.0) for record, a in pairs]}
    return {
        "exact_match": [Score(float(exact_match(str(answer), record.answer)), 1.0) for record, answer in pairs],
        "f1": [Score(_word_f1(str(answer), record.answer), 1.0) for record, answer in pairs],
    }


def macro_f1(records: Sequence[Record], answers: Sequence[Answer]) -> float:
    """The mean over classes, or tags, of the harmonic mean of precision and recall; of those that occur."""
    truths, guesses = [], []
    for record, answer in zip(records, answers, strict=True):
        truths += [tag.name for tag in record.tags] or [record.answer]
        guesses += answer if isinstance(answer, list) else [answer]
    hits = Counter(truth for truth, guess in zip(truths, guesses, strict=True) if truth == guess)
    there, said = Counter(truths), Counter(guesses)
    return sum(2 * hits[name] / (there[name] + said[name]) for name in there) / len(there)


def baseline(kind: TaskKind, train: Sequence[Record], held_out: Sequence[Record]) -> list[Answer] | None:
    """Answers that look at nothing: always the most frequent class or tag; the first line of the source."""
    if kind == "extraction":
        return None
    if kind == "seq2seq":
        return [record.text.split("\n")[0] for record in held_out]
    if kind == "tagging":
        often = Counter(tag.name for record in train for tag in record.tags).most_common(1)[0][0]
        return [[often] * len(record.tags) for record in held_out]
    return [Counter(record.answer for record in train).most_common(1)[0][0]] * len(held_out)


def interval(records: Sequence[Record], scores: Sequence[Score], seed: int = 0) -> Interval:
    """The score of all records, with an interval over groups: records of one document are not independent."""
    points, of = _by_group(records, scores)
    return ratio_interval(points, of, seed=seed)


def difference(records: Sequence[Record], a: Sequence[Score], b: Sequence[Score], seed: int = 0) -> PairedResult:
    """How much b's score exceeds a's on the same records, over groups."""
    (first, of), (second, _) = _by_group(records, a), _by_group(records, b)
    found = ratio_difference(-first, -second, of, seed=seed)  # it takes less for better
    return found._replace(difference=0.0 - found.difference, low=0.0 - found.high, high=0.0 - found.low)  # no -0.0


def _by_group(records: Sequence[Record], scores: Sequence[Score]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sums: dict[object, list[float]] = {}
    for index, (record, score) in enumerate(zip(records, scores, strict=True)):
        total = sums.setdefault(record.group or index, [0.0, 0.0])
        total[0] += score.points
        total[1] += score.of
    values = np.array(list(sums.values()))
    return values[:, 0], values[:, 1]


def _agreeing(record: Record, answer: Answer) -> float:
    return float(sum(tag.name == name for tag, name in zip(record.tags, answer, strict=True)))


def _word_f1(answer: str, target: str) -> float:
    return ngram_overlap(normalise_answer(answer).split(), normalise_answer(target).split())
