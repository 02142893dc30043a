"""Counting sentences and words, and telling languages, as IFEval's checks need it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

from fourfold.errors import UserError

_ABBREVIATIONS = {
    "mr",
    "mrs",
    "ms",
    "dr",
    "prof",
    "st",
    "jr",
    "sr",
    "vs",
    "etc",
    "e.g",
    "i.e",
    "inc",
    "ltd",
    "co",
    "corp",
    "gen",
    "col",
    "sgt",
    "capt",
    "lt",
    "gov",
    "sen",
    "rep",
    "rev",
    "hon",
    "no",
    "vol",
    "fig",
    "al",
    "dept",
    "est",
    "approx",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "u.s",
    "u.k",
    "u.n",
    "a.m",
    "p.m",
    "ph.d",
    "d.c",
    "b.c",
    "a.d",
}
_END = re.compile(r"""(?P<word>\S*?)(?P<mark>[.!?]+|…)["'”’)\]]*(?=\s)|[。！？]+["”’」』）]*""")
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|ll|re|ve))\b", re.IGNORECASE)
_PARTS = re.compile(r"\.{3}|--|[;@#$%&?!()\[\]{}<>\"“”«»]|[,:](?=\D|$)|\s")


def count_words(text: str) -> int:
    """Runs of letters, digits and underscores; vowel signs, as those of Hindi, belong to their letter."""
    return len(re.findall(r"\w+", "".join(c for c in text if not unicodedata.category(c).startswith("M"))))


def count_sentences(text: str) -> int:
    """Sentences end with . ! ? before white space, or with 。！？ anywhere; line breaks alone end none.

    Departure from the authors' program, which asks the Punkt model (Kiss and Strunk 2006): abbreviations and initials
    come from a list, and a full stop before a lower-case letter ends nothing. LOG.md says how often that differs.
    """
    if not text.strip():
        return 0
    ends = [match.end() for match in _END.finditer(text) if _is_end(match, text)]
    rest = text[ends[-1] :] if ends else text
    return len(ends) + bool(rest.strip())


def _is_end(match: re.Match[str], text: str) -> bool:
    mark, word = match["mark"], match["word"]
    if mark is None or set(mark) & {"!", "?"}:
        return True
    following = text[match.end() :].lstrip()[:1]
    if following.islower():
        return False
    bare = word.lstrip("\"'“‘([*_").lower()
    initial = len(bare) == 1 and bare.isalpha() and bare != "i" and word[-1:].isupper()
    return not (initial or bare in _ABBREVIATIONS)


def capital_words(text: str) -> list[str]:
    """Tokens in capitals alone; "DON'T" is two, as in the Penn Treebank's rules, a hyphen joins."""
    tokens = _PARTS.split(_CLITIC.sub(r" \1", text))
    return [token for token in tokens if token and token.isupper()]


def can_tell_languages() -> bool:
    """Whether the package is there that tells them (the extra `evaluation`)."""
    return find_spec("langdetect") is not None


def is_language(text: str, code: str) -> bool:
    """Whether langdetect, which the authors use, takes the text for this language; text without features passes."""
    return _detector()(text) in (code, "")


@cache
def _detector() -> Callable[[str], str]:
    """langdetect draws at random unless it is seeded; with a seed the same text has the same language every time."""
    if not can_tell_languages():
        raise UserError("telling languages needs a package", advice="pip install 'fourfold[evaluation]'")
    import langdetect

    langdetect.DetectorFactory.seed = 0

    def detect(text: str) -> str:
        try:
            return str(langdetect.detect(text))
        except langdetect.LangDetectException:
            return ""

    return detect
