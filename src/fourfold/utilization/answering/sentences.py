"""Cutting a text into sentences without changing a character of it."""

from __future__ import annotations

import re
from typing import NamedTuple

_END = re.compile(
    r"""(?P<han>[。！？!?；]+[”’」』）)"']*)            # an end mark of Chinese, with what closes behind it
      |(?P<latin>(?<!\b[A-Z])(?<!\b(?:e\.g|i\.e|vs\.))\.["'”’)\]]*(?=\s+\S)   # a full stop that white space follows,
          (?!(?<=\d\.)\s+\d))                                       # not that of "12. 5" broken over lines
      |(?P<gap>\n[ \t]*\n\s*|\n(?=[ \t]*(?:[-*•#|]|\d+[.)])\s))""",  # an empty line, or the next item of a list
    re.VERBOSE,
)
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Dr|St|No|Fig|Sec|vol|pp|p|cf|etc|approx|ca)|\b\w\.\w)$")
_LONGEST = 600
"""Characters; what has no end mark for so long (a table, a listing) is cut at a line end."""


class Sentence(NamedTuple):
    """A sentence and where it stands: `text == source[start:end]`."""

    text: str
    start: int
    end: int


def sentences(text: str) -> list[Sentence]:
    """The sentences of a text in order, without the white space around them; empty ones are left out."""
    found: list[Sentence] = []
    begin = 0
    for match in _END.finditer(text):
        if match["latin"] and _ABBREVIATION.search(text[max(begin, match.start() - 8) : match.start()]):
            continue
        found += _pieces(text, begin, match.start() if match["gap"] else match.end())
        begin = match.end()
    return found + _pieces(text, begin, len(text))


def _pieces(text: str, begin: int, end: int) -> list[Sentence]:
    """One sentence, or several where it is too long to be one."""
    pieces = []
    while end - begin > _LONGEST:
        cut = text.rfind("\n", begin + _LONGEST // 3, begin + _LONGEST)
        cut = begin + _LONGEST if cut < 0 else cut
        pieces += _trimmed(text, begin, cut)
        begin = cut
    return pieces + _trimmed(text, begin, end)


def _trimmed(text: str, begin: int, end: int) -> list[Sentence]:
    piece = text[begin:end]
    kept = piece.strip()
    if not kept:
        return []
    start = begin + piece.index(kept[0])
    return [Sentence(kept, start, start + len(kept))]
