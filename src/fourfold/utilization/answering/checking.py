"""Does a sentence stand in its source? Nothing is cited that this module did not find there.

A quote stands when the source holds it character for character ("verbatim"), or once white space, case,
width of characters and the shape of quotation marks and dashes are made equal ("normalised"): what line breaks,
PDF extraction and a model's retyping change. A sentence in a model's own words is "worded" after a source
sentence that holds its words, all its numbers and names, and agrees with it in being negated or not. That checks
words, not logic: it can not see that a true phrase was put to a wrong use.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from fourfold.utilization.answering.sentences import Sentence, sentences
from fourfold.utilization.answering.terms import held_terms, question_terms, share_held

Standing = Literal["verbatim", "normalised", "worded"]

SHARED_TERMS = 0.75
"""Of a worded sentence's informative terms, how many its source sentence must hold."""
_SAME = str.maketrans("“”„«»「」『』‘’‚`´–—‐‑‒−·", '"""""""""\'\'\'\'\'------.')
_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nor|neither|without|cannot)\b|n['’]t\b|[不没沒無无未非勿莫]|unable|impossible"
)
_EXACT = re.compile(r"\d[\d.,:%]*|\b\w*[A-Z_]\w*\b|[\w-]+[._/][\w./-]+")
"""Numbers, names and identifiers: what a source must hold as it is."""


class Found(NamedTuple):
    """Where a sentence stands in a source, `source[start:end]`, and how alike it is."""

    how: Standing
    start: int
    end: int


def find_quote(quote: str, source: str) -> Found | None:
    """Where the quote stands in the source, verbatim if possible, else normalised; None if it does not."""
    quote = quote.strip()
    if not quote:
        return None
    if (at := source.find(quote)) >= 0:
        return Found("verbatim", at, at + len(quote))
    wanted, _ = _normalised(quote)
    held, places = _normalised(source)
    at = held.find(wanted) if wanted else -1
    return None if at < 0 else Found("normalised", places[at], places[at + len(wanted) - 1] + 1)


def find_support(claim: str, source: str) -> Found | None:
    """The sentences of the source that a claim rests on: those that quote it, else those it is worded after.

    A quote is widened to whole sentences, so that a reader sees what stands around it.
    """
    if not any(term[0].isalpha() for term in question_terms(claim)):
        return None  # "Yes.", "It is." or "2." stands everywhere
    parts = sentences(source)
    if (found := find_quote(claim.rstrip(" .。"), source)) and _whole_words(found, source):
        touched = [part for part in parts if part.start < found.end and found.start < part.end]
        return Found(found.how, min(found.start, touched[0].start), max(found.end, touched[-1].end))
    alike = (part for part in _by_likeness(claim, parts, source) if _worded(claim, part))
    return next((Found("worded", part.start, part.end) for part in alike), None)


def _whole_words(found: Found, source: str) -> bool:
    """Whether the quote begins and ends where words do: "art" does not stand in "start"."""

    def joined(left: str, right: str) -> bool:
        return left.isascii() and right.isascii() and left.isalnum() and right.isalnum()

    start, end = found.start, found.end
    return not (
        (start > 0 and joined(source[start - 1], source[start]))
        or (end < len(source) and joined(source[end - 1], source[end]))
    )


def _by_likeness(claim: str, parts: Sequence[Sentence], source: str) -> Iterator[Sentence]:
    """Single sentences and pairs of neighbours, those that share most words with the claim first."""
    terms = question_terms(claim)
    # A model often joins two.
    pairs = [Sentence(source[a.start : b.end], a.start, b.end) for a, b in itertools.pairwise(parts)]
    ranked = sorted((*parts, *pairs), key=lambda part: (-_shared(terms, part.text), len(part.text)))
    yield from ranked[:3]


def _shared(terms: Sequence[str], text: str) -> float:
    held = held_terms(text)
    return sum(share_held(term, held) for term in terms)


def _worded(claim: str, sentence: Sentence) -> bool:
    terms = question_terms(claim)
    if len(terms) < 2 or _shared(terms, sentence.text) < SHARED_TERMS * len(terms):
        return False
    if bool(_NEGATION.search(claim.lower())) != bool(_NEGATION.search(sentence.text.lower())):
        return False
    text = _normalised(sentence.text)[0]
    return all(_normalised(exact)[0] in text for exact in _exact_parts(claim))


def _exact_parts(claim: str) -> list[str]:
    """Numbers and names of a claim; the capital that opens a sentence makes no name."""
    return [
        match[0].rstrip(".,:")
        for match in _EXACT.finditer(claim)
        if match.start() > 0 or not match[0][:1].isupper() or not match[0][1:].islower()
    ]


def _normalised(text: str) -> tuple[str, list[int]]:
    """The text as it is compared, and for each of its characters the place it came from."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if character.isspace() or character in _INVISIBLE:
            continue
        folded = character if character.isascii() else unicodedata.normalize("NFKC", character)
        for one in folded.lower().translate(_SAME):
            if not one.isspace():
                characters.append(one)
                places.append(place)
    return "".join(characters), places
