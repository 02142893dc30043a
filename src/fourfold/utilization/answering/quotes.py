"""Choosing what to quote: the sentences of the best passages that hold most of what the question asks about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fourfold.utilization.answering.checking import Standing
from fourfold.utilization.answering.sentences import Sentence, sentences
from fourfold.utilization.answering.terms import held_terms, share_held
from fourfold.utilization.retrieval import Hit, Passage

LONGEST = 480
"""Bytes of a quote of several sentences, as a Han character says as much as three letters; a single longer sentence
stays whole."""
MOST_SENTENCES = 3
FALLING = 0.85
"""What a passage counts for against the one ranked before it."""
LOCAL = 2.0
"""How much it counts that a window holds terms that are rare within its passage: the passage's subject stands in
most of its sentences, and only one of them answers."""
A_PASSAGE = 2
"""Quotes of one passage at most."""
SHORT = 12
"""Characters; what is shorter is a heading or a scrap, and is quoted only with its neighbour."""


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A quote and where it stands: `passage.text[start:end]`, which is checked wherever one is made."""

    number: int
    """From 1, as the answer refers to it."""
    passage: Passage
    start: int
    end: int
    how: Standing = "verbatim"
    """How the sentence that cites it stands in it; what we quote ourselves is verbatim."""

    @property
    def quote(self) -> str:
        return self.passage.text[self.start : self.end]


class _Window(NamedTuple):
    worth: float
    rank: int
    span: Sentence


def choose_quotes(hits: Sequence[Hit], weights: Mapping[str, float], limit: int = 3) -> list[Citation]:
    """At most `limit` quotes, the likeliest to answer first.

    A window of one to three sentences is worth the share of the question's weight it holds, and twice the share it
    holds of the weight that is rare within its passage; less with each rank of the passage. Questions alone are no
    answer. A quote that overlaps an earlier one, or repeats it elsewhere, is left out.
    """
    windows = [window for rank, hit in enumerate(hits) for window in _windows(hit.passage, rank, weights)]
    chosen: list[_Window] = []
    for window in sorted(windows, key=lambda w: (-w.worth, len(w.span.text), w.rank, w.span.start)):
        if window.worth <= 0 or len(chosen) == limit:
            break
        if not _repeats(window, chosen):
            chosen.append(window)
    widened = [(hits[rank].passage, _widened(hits[rank].passage.text, span)) for _, rank, span in chosen]
    distinct = [
        (passage, span)
        for at, (passage, span) in enumerate(widened)
        if not any(passage is other and span.start < o.end and o.start < span.end for other, o in widened[:at])
    ]
    return [
        Citation(number=number, passage=passage, start=span.start, end=span.end)
        for number, (passage, span) in enumerate(distinct, 1)
    ]


def _windows(passage: Passage, rank: int, weights: Mapping[str, float]) -> list[_Window]:
    parts = sentences(passage.text)
    shares = [{term: share_held(term, held_terms(part.text)) for term in weights} for part in parts]
    holders = {term: sum(share[term] > 0 for share in shares) for term in weights}
    local = {term: w * math.log((len(parts) + 1) / (holders[term] + 0.5)) for term, w in weights.items()}
    total = sum(weights.values()) or 1.0
    local_total = total * math.log((len(parts) + 1) / 0.5)
    found = []
    for i, first in enumerate(parts):
        for j in range(i, min(i + MOST_SENTENCES, len(parts))):
            start, end = first.start, parts[j].end
            if j > i and _bytes(passage.text, start, end) > LONGEST:
                break
            if len(parts) > 1 and not _says_something(parts[i : j + 1]):
                continue
            best = {term: max(shares[at][term] for at in range(i, j + 1)) for term in weights}
            worth = sum(w * best[term] for term, w in weights.items()) / total
            worth += LOCAL * sum(w * best[term] for term, w in local.items()) / local_total
            found.append(_Window(worth * FALLING**rank, rank, Sentence(passage.text[start:end], start, end)))
    return found


def _widened(text: str, span: Sentence) -> Sentence:
    """The span with the sentences that follow it up to the next question, then with those before it, while it stays
    short enough to read."""
    parts = sentences(text)
    start, end = span.start, span.end
    for part in parts:
        if part.start >= end:
            if _bytes(text, start, part.end) > LONGEST or _is_question(part):
                break
            end = part.end
    for part in reversed(parts):
        if part.end <= start:
            if _bytes(text, part.start, end) > LONGEST:
                break
            start = part.start
    return Sentence(text[start:end], start, end)


def _says_something(parts: Sequence[Sentence]) -> bool:
    """Whether it is no scrap and no list of contents or questions; one question may stand over its answer."""
    questions = sum(map(_is_question, parts))
    return questions <= 1 and any(len(part.text) >= SHORT and not _is_question(part) for part in parts)


def _is_question(part: Sentence) -> bool:
    return part.text.rstrip("\"'”’)）").endswith(("?", "？"))


def _bytes(text: str, start: int, end: int) -> int:
    return len(text[start:end].encode())


def _repeats(window: _Window, chosen: Sequence[_Window]) -> bool:
    """Whether the passage has given its share, or the window overlaps or says again what was chosen."""
    same = [other for other in chosen if other.rank == window.rank]
    if len(same) >= A_PASSAGE or any(w.span.start < window.span.end and window.span.start < w.span.end for w in same):
        return True
    terms = held_terms(window.span.text)
    copies = (held_terms(other.span.text) for other in chosen)
    return any(len(terms & other) > 0.9 * len(terms | other) for other in copies)
