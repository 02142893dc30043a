"""Which item of one result is which of the other: by what is asked, not by where it stood."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from fourfold.evaluation.comparing.samples import Sample

_BEFORE = re.compile(r"^\s*(question|problem|q|问题|题目)\s*[::.]\s*", re.IGNORECASE)
_AFTER = re.compile(r"\s*\b(answer|solution|a|答案|回答)\s*[::]?\s*$", re.IGNORECASE)
_LAYOUT = re.compile(r"""\s|(?<!\d)[.,;:?!'"“”‘’«»、。…_]|[.,;:?!'"“”‘’«»、。…_](?!\d)""")

Key = Callable[[Sample], Hashable]


class Pairing(NamedTuple):
    """The items two results share."""

    pairs: list[tuple[Sample, Sample]]
    by: str
    """What was compared: "question and choices", "question", "prompt" or "id"."""
    unpaired: int
    """Items of either side without a partner."""
    repeated: int
    """Pairs whose item occurs more than once; they are paired in order."""


def pair_items(a: Sequence[Sample], b: Sequence[Sample]) -> Pairing:
    """Pair by question and choices; where too few agree, by the question, by the prompt's last part, and without any
    text by id.

    A key is taken when it pairs at least half as many items as the best one does, so that a looser one, under which
    different items may look alike, is used only when it is needed.
    """
    with_text = all(sample.question for sample in (*a, *b))
    keys = _TEXT_KEYS if with_text else {"id": _id}
    found = {name: _paired(a, b, key) for name, key in keys.items()}
    most = max(len(pairs) for pairs in found.values())
    by = next(name for name, pairs in found.items() if 2 * len(pairs) >= most)
    pairs = found[by]
    times = Counter(keys[by](first) for first, _ in pairs)
    repeated = sum(count for count in times.values() if count > 1)
    return Pairing(pairs, by, len(a) + len(b) - 2 * len(pairs), repeated)


def plain_text(text: str) -> str:
    """What stays of a text under another layout: lower case, no white space, no marks of sentences and quotations.

    Signs that carry meaning stay: those of arithmetic and code, brackets, marks between two digits.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _LAYOUT.sub("", folded) or "".join(folded.split())


def _paired(a: Sequence[Sample], b: Sequence[Sample], key: Key) -> list[tuple[Sample, Sample]]:
    """In a's order. Items of one key are paired where their answers agree too, then in order."""
    waiting: dict[Hashable, list[Sample]] = {}
    for sample in b:
        waiting.setdefault(key(sample), []).append(sample)
    pairs = []
    for sample in a:
        candidates = waiting.get(key(sample), [])
        if candidates:
            alike = (i for i, other in enumerate(candidates) if plain_text(other.target) == plain_text(sample.target))
            pairs.append((sample, candidates.pop(next(alike, 0))))
    return pairs


def _bare(text: str) -> str:
    """A question without a "Question:" before and an "Answer:" after it."""
    return plain_text(_AFTER.sub("", _BEFORE.sub("", text.strip())))


def _question_and_choices(sample: Sample) -> Hashable:
    """Choices in any order; a single one, as a last word, belongs to the text."""
    choices = [plain_text(choice) for choice in sample.choices]
    if len(choices) == 1:
        return _bare(sample.question) + choices[0], ()
    return _bare(sample.question), tuple(sorted(choices))


def _question(sample: Sample) -> Hashable:
    return _bare(sample.question)


def _prompt(sample: Sample) -> Hashable:
    """What follows the last empty line: the demonstrations stand before it."""
    return _bare(re.split(r"\n\s*\n", sample.prompt.strip())[-1])


def _id(sample: Sample) -> Hashable:
    return sample.subject, sample.id or plain_text(sample.question)


_TEXT_KEYS: dict[str, Key] = {"question and choices": _question_and_choices, "question": _question, "prompt": _prompt}
