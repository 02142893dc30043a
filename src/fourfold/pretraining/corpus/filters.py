"""Quality rules: each is a function of a text that gives the reason to drop it, or None.

Rules and thresholds are those of MassiveText (Rae et al. 2021, *Scaling Language Models*, appendix
A.1.1, and table A1 for repetition) and C4 (Raffel et al. 2020, section 2.2). Departures: the unit is
a word, or one character where the script is Han, with n-grams twice as long there, since a Chinese
word is about two characters; repetition is judged in blocks of 4,000 units, because the share of
repeated n-grams grows with the length of a text and the thresholds were set on web pages; rules about
function words apply to English only; sentences that repeat are `Deduplicator`'s work.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import unknown_name
from fourfold.pretraining.corpus.scripts import HAN, language_of

Filter = Callable[[str], str | None]

_UNIT = re.compile(f"[{HAN}]|[^\\W{HAN}]+")
_HAN = re.compile(f"[{HAN}]")
_BULLET = re.compile(r"^\s*[-*•‣▪◦●·]")
_STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
_BLOCK = 4000
_TOP = {2: 0.20, 3: 0.18, 4: 0.16}
_DUPLICATE = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def minimum_length(characters: int) -> Filter:
    """At least so many characters."""

    def judge(text: str) -> str | None:
        return f"shorter than {characters} characters" if len(text) < characters else None

    return judge


def repeated_lines(text: str) -> str | None:
    """Rae et al., table A1: repeated lines and the characters in them."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) < 4:
        return None
    counts = Counter(lines)
    repeated = len(lines) - len(counts)
    characters = sum(len(line) * (count - 1) for line, count in counts.items())
    if repeated > 0.30 * len(lines) or characters > 0.20 * sum(map(len, lines)):
        return "repeated lines"
    return None


def repeated_grams(text: str) -> str | None:
    """Rae et al., table A1: share of the characters in the most frequent and in the repeated n-grams."""
    units = _UNIT.findall(text)
    if len(units) < 50:
        return None
    han = len(_HAN.findall("".join(units[:_BLOCK])))
    factor = 2 if han > 0.5 * min(len(units), _BLOCK) else 1
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(unit, len(numbers)) for unit in units], np.uint64)
    sizes = np.array([len(unit) for unit in units], np.int64)
    blocks = [(ids[start : start + _BLOCK], sizes[start : start + _BLOCK]) for start in range(0, len(ids), _BLOCK)]
    for length, limit in _TOP.items():
        if _mean(_top_share, blocks, length * factor) > limit:
            return f"the most frequent {length}-gram fills the text"
    # Long n-grams repeat only if the shortest does.
    if _mean(_repeated_share, blocks, 5 * factor) <= min(_DUPLICATE.values()):
        return None
    for length, limit in _DUPLICATE.items():
        if _mean(_repeated_share, blocks, length * factor) > limit:
            return f"repeated {length}-grams"
    return None


_Block = tuple[NDArray[np.uint64], NDArray[np.int64]]


def _mean(share: Callable[[_Block, int], float], blocks: Sequence[_Block], length: int) -> float:
    weights = [int(sizes.sum()) for _, sizes in blocks]
    return float(np.average([share(block, length) for block in blocks], weights=weights))


def _grams(block: _Block, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None:
    """For each n-gram of the block its number, its characters; and the count of each number."""
    ids, sizes = block
    if len(ids) <= length:
        return None
    keys = np.zeros(len(ids) - length + 1, np.uint64)
    for offset in range(length):  # a rolling hash modulo 2^64: a collision in 4,000 is out of reach
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + ids[offset : offset + len(keys)] + np.uint64(1)
    _, gram, counts = np.unique(keys, return_inverse=True, return_counts=True)
    cumulative = np.concatenate([[0], np.cumsum(sizes)])
    return gram, cumulative[length:] - cumulative[:-length], counts


def _top_share(block: _Block, length: int) -> float:
    found = _grams(block, length)
    if found is None or found[2].max() < 2:
        return 0.0
    gram, characters, counts = found
    return float(characters[gram == counts.argmax()].sum() / block[1].sum())


def _repeated_share(block: _Block, length: int) -> float:
    """Characters in n-grams that occurred before, each character counted once."""
    found = _grams(block, length)
    if found is None:
        return 0.0
    gram, _, counts = found
    covered = np.zeros(len(block[0]) + 1, np.int64)
    first = np.full(len(counts), len(gram))
    np.minimum.at(first, gram, np.arange(len(gram)))
    again = np.flatnonzero(first[gram] < np.arange(len(gram)))
    np.add.at(covered, again, 1)
    np.add.at(covered, again + length, -1)
    return float(block[1][np.cumsum(covered[:-1]) > 0].sum() / block[1].sum())


def symbols(text: str) -> str | None:
    """Rae et al., A.1.1: `#` or ellipses for words, bullets for lines, hardly a word with a letter."""
    words = text.split()
    lines = [line for line in text.split("\n") if line.strip()]
    if len(words) < 20 and len(text) < 100:
        return None
    marks = max(text.count("#"), text.count("…") + text.count("..."))
    if marks and marks > 0.10 * len(_UNIT.findall(text)):
        return "symbols instead of words"
    if len(lines) >= 5 and sum(map(bool, map(_BULLET.match, lines))) > 0.90 * len(lines):
        return "a list of bullet points"
    if len(lines) >= 5 and sum(line.rstrip().endswith(("…", "...")) for line in lines) > 0.30 * len(lines):
        return "lines cut off by ellipses"
    head = "".join(text[:20_000].split())
    return "hardly any letters" if sum(map(str.isalpha, head)) < 0.4 * len(head) else None


def english_words(text: str) -> str | None:
    """Rae et al., A.1.1, for English: mean word length 3 to 10, two function words at least."""
    if language_of(text) != "en":
        return None
    words = text.split()
    if len(words) < 50:
        return None
    if not 3 <= sum(map(len, words)) / len(words) <= 10:
        return "words of odd length"
    found = _STOP_WORDS.intersection(word.lower() for word in words)
    return None if len(found) >= 2 else "no function words"


def boilerplate(text: str) -> str | None:
    """Raffel et al., section 2.2: placeholder text and pages that ask for JavaScript."""
    head = text[:5000].lower()
    if "lorem ipsum" in head:
        return "placeholder text"
    if len(text) < 1000 and re.search(r"(enable|requires?|turn on) javascript", head):
        return "asks for JavaScript"
    return None


FILTERS: dict[str, Filter] = {
    "repeated-lines": repeated_lines,
    "repeated-grams": repeated_grams,
    "symbols": symbols,
    "english-words": english_words,
    "boilerplate": boilerplate,
}


def filters_named(names: Sequence[str], minimum_characters: int) -> list[Filter]:
    """The length rule and the named ones, in order."""
    for name in names:
        if name not in FILTERS:
            raise unknown_name("filter", name, FILTERS)
    return [minimum_length(minimum_characters), *(FILTERS[name] for name in names)]
