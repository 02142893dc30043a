"""Text to search terms: words where words are spaced, pairs of neighbouring characters where they are not.

Case, accents, width and traditional or simplified script are folded; endings stay, since stemming gained nothing
(docs/decisions/013). Chinese, Japanese, Korean and Thai text has no spaces that part its words, and a pair of
characters is as good a term as a word found by a segmenter (Nie, Gao, Zhang, Zhou 2000), without one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from fourfold.kernels import TermCounts, TextCodes, count_terms
from fourfold.pretraining.corpus import HAN

# Han, kana, Hangul; Thai and Lao, Burmese, Khmer.
_PAIRED = re.compile(
    f"[{HAN}々〇\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uac00-\ud7a3"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)
# Accents of Greek, Latin and Cyrillic; Hebrew and Arabic vowel signs; joiners, the soft hyphen, choices of a glyph.
_IGNORED = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u00ad\u200b-\u200d\u2060\ufeff\u1ab0-\u1aff\ufe00-\ufe0f"
    "\U000e0100-\U000e01ef]"
)
_GLYPHS = 0xE0100, 0xE01EF
"""Choices of a glyph beyond the table; the only ones there that do not part terms."""
_UNIFORM = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x20000, 0x2F7FF), (0x2FA20, 0x3FFFD))
_TABLE_END = 0x3FFFE
_COMPOUND = np.uint32(1 << 31)
"""Flag of a character that is normalised together with its neighbours, or into several."""


def terms_of(text: str) -> list[str]:
    """The terms of a text in their order."""
    found: list[str] = []
    for run in _runs(text):
        if _PAIRED.match(run):
            found += (run[at : at + 2] for at in range(max(len(run) - 1, 1)))
        else:
            found.append(run)
    return found


def _runs(text: str) -> list[str]:
    """Words, and unbroken runs of characters to be paired."""
    runs: list[str] = []
    last = TextCodes.SEPARATOR
    for character in _normal(text):
        code, kind = _fold(character)
        if kind == TextCodes.IGNORED:
            continue
        if kind != TextCodes.SEPARATOR:
            if kind == last:
                runs[-1] += code
            else:
                runs.append(code)
        last = kind
    return runs


def count_terms_of(texts: Sequence[str]) -> TermCounts:
    """The terms of each text, hashed and counted: `terms_of` in bulk."""
    table = _table()
    points = _points("".join(f"{text.replace(chr(0), ' ')}\0" for text in texts))
    compound = table[np.minimum(points, len(table) - 1)] >= _COMPOUND
    if compound.any():
        ends = np.flatnonzero(points == 0)
        changed = set(np.searchsorted(ends, np.flatnonzero(compound)).tolist())
        ready = (_normal(text) if place in changed else text for place, text in enumerate(texts))
        points = _points("".join(f"{text.replace(chr(0), ' ')}\0" for text in ready))
    return count_terms(points, table)


def _points(text: str) -> NDArray[np.uint32]:
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    first, last = _GLYPHS
    return points[(points < first) | (points > last)] if points.max(initial=0) >= first else points


def _normal(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@cache
def _simplified() -> dict[str, str]:
    old, new = (files("fourfold.utilization.retrieval") / "han_simplified.txt").read_text("utf-8").splitlines()[-2:]
    return dict(zip(old, new, strict=True))


@cache
def _fold(character: str) -> tuple[str, int]:
    """What a character counts as, and its class."""
    if _PAIRED.match(character):
        return _simplified().get(character, character), TextCodes.PAIRED
    if _IGNORED.match(character):
        return character, TextCodes.IGNORED
    parts = unicodedata.normalize("NFD", character)
    if all(map(_IGNORED.match, parts[1:])):
        character = parts[0]
    is_letter = character.isalnum() or unicodedata.category(character) in ("Mn", "Mc")
    return character, TextCodes.LETTER if is_letter else TextCodes.SEPARATOR


def _code(character: str) -> int:
    if character >= "\ue000" and unicodedata.category(character) in ("Cn", "Co"):  # half of all: no letters
        return ord(character) | TextCodes.SEPARATOR << TextCodes.CLASS
    normal = _normal(character)
    folded, kind = _fold(normal[0])
    joins = kind != TextCodes.IGNORED and (unicodedata.combining(character) or unicodedata.category(character) == "Mc")
    jamo = "\u1100" <= character <= "\u11ff"
    flag = int(_COMPOUND) if len(normal) > 1 or joins or jamo else 0
    return ord(folded) | kind << TextCodes.CLASS | flag


@cache
def _table() -> NDArray[np.uint32]:
    """Every character's code; the large blocks that fold to themselves are filled, not looked up."""
    table = np.arange(_TABLE_END, dtype=np.uint32)
    paired = np.uint32(TextCodes.PAIRED << TextCodes.CLASS)
    start = 0
    for first, last in _UNIFORM:
        table[start:first] = np.fromiter((_code(chr(point)) for point in range(start, first)), np.uint32, first - start)
        table[first : last + 1] |= paired
        start = last + 1
    for old, new in _simplified().items():
        table[ord(old)] = ord(new) | paired
    table[0] = TextCodes.END << TextCodes.CLASS
    return table
