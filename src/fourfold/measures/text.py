"""Comparing an answer with what was expected: exact, numeric, by keyword, by overlap."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = set(string.punctuation)
_NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,2})?", re.ASCII)


def normalise_answer(text: str) -> str:
    """SQuAD's rule (Rajpurkar et al. 2016, official script): lower case, no punctuation, no articles, single spaces.

    Departure: punctuation of any script goes, so that "北京。" equals "北京".
    """
    lowered = unicodedata.normalize("NFKC", text).lower()
    kept = "".join(c for c in lowered if c not in _PUNCTUATION and not unicodedata.category(c).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(answer: str, accepted: str | Iterable[str]) -> bool:
    """Whether the normalised answer equals one of the accepted ones, normalised."""
    targets = [accepted] if isinstance(accepted, str) else accepted
    return normalise_answer(answer) in {normalise_answer(target) for target in targets}


def numbers_in(text: str) -> list[str]:
    """The numbers written in digits, in order; "1,234.5" is one number, "3-4" two."""
    return [match.group() for match in _NUMBER.finditer(text)]


def last_number(text: str) -> str | None:
    """The last number of an answer, which is where a worked solution puts its result."""
    found = numbers_in(text)
    return found[-1].replace(",", "").replace("−", "-") if found else None


def numeric_equal(answer: str, target: str | float, tolerance: float = 0.0) -> bool:
    """Whether the last number of `answer` equals `target`, within a relative `tolerance`.

    Compared as fractions, so that 0.1 + 0.2 style rounding and huge integers cannot mislead.
    """
    found, wanted = last_number(answer), last_number(str(target))
    if found is None or wanted is None:
        return False
    left, right = Fraction(found), Fraction(wanted)
    return abs(left - right) <= Fraction(tolerance) * abs(right)


def contains_keyword(text: str, keywords: Iterable[str]) -> bool:
    """Whether one of the keywords stands in the text, case ignored, as a whole word where the script has words."""
    lowered = unicodedata.normalize("NFKC", text).lower()
    for keyword in keywords:
        word = unicodedata.normalize("NFKC", keyword).lower()
        if word.isascii():
            if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", lowered, re.ASCII):
                return True
        elif word in lowered:
            return True
    return False


def words_of(text: str) -> list[str]:
    """Lower-cased words; a Han character is a word of its own."""
    return re.findall(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+", text.lower())


def ngram_overlap(tokens: Sequence[str], reference: Sequence[str], order: int = 1) -> float:
    """F1 of the n-grams two token lists share, counted with repetition (ROUGE-N, Lin 2004); 0 if one has none."""
    ours = Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))
    theirs = Counter(tuple(reference[i : i + order]) for i in range(len(reference) - order + 1))
    shared = sum((ours & theirs).values())
    return 2 * shared / (ours.total() + theirs.total()) if shared else 0.0
