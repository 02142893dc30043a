"""Headings: where they stand in Markdown, reStructuredText and plain text, and under which others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from fourfold.pretraining.corpus.formats.section import Section

_LONGEST = 120
# A fence hides what looks like a heading inside it.
_MARKED = re.compile(r"^(?P<fence>`{3,}|~{3,})[^\n]*$|^(?P<level>\#{1,6})[ \t]+(?P<title>[^\n]+?)[ \t#]*$", re.MULTILINE)
_UNDERLINED = re.compile(r"^(?P<title>[^\s\n][^\n]{0,119})\n(?P<line>([=\-~^\"*+#])\3{2,})[ \t]*$", re.MULTILINE)
_CHAPTER = re.compile(r"^[ \t　]*(?P<title>第[〇零一二三四五六七八九十百千\d]{1,6}(?P<kind>[部编篇卷章回节])[^\n]{0,40})$", re.MULTILINE)
_CHAPTER_LEVELS = {"部": 1, "编": 1, "篇": 1, "卷": 1, "章": 2, "回": 2, "节": 3}


class HeadingPath:
    """The headings above a place, from the outermost in: `Installation > On Windows`."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> None:
        """A heading of this depth begins: it closes those of its own depth and deeper."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, " ".join(title.split())[:_LONGEST]))

    @property
    def text(self) -> str:
        return " > ".join(title for _, title in self._open)


class Heading(NamedTuple):
    start: int
    level: int
    title: str


def sections_of(text: str, *, marked: bool) -> Iterator[Section]:
    """Cut a text before each of its headings. `marked`: `# Title` is one (Markdown), else a comment or no more
    than it says; titles with a line under them and Chinese chapters (第三章) always are."""
    path = HeadingPath()
    start, first = 0, 1
    for heading in _headings(text, marked):
        if heading.start > start:
            yield Section(text=text[start : heading.start], first=first, heading=path.text)
            first += text.count("\n", start, heading.start)
            start = heading.start
        path.enter(heading.level, heading.title)
    yield Section(text=text[start:], first=first, heading=path.text)


def _headings(text: str, marked: bool) -> list[Heading]:
    found = list(_marked(text)) if marked else []
    found += _underlined(text)
    found += (Heading(match.start(), _CHAPTER_LEVELS[match["kind"]], match["title"]) for match in _CHAPTER.finditer(text))
    return sorted(found)


def _marked(text: str) -> Iterator[Heading]:
    fence = ""
    for match in _MARKED.finditer(text):
        if match["fence"]:
            if not fence:
                fence = match["fence"]
            elif match["fence"].startswith(fence):
                fence = ""
        elif not fence:
            yield Heading(match.start(), len(match["level"]), match["title"])


def _underlined(text: str) -> Iterator[Heading]:
    """Depth by the order in which the marks first occur, as in reStructuredText."""
    depths: dict[str, int] = {}
    for match in _UNDERLINED.finditer(text):
        if len(match["line"]) * 2 >= len(match["title"]):  # a Han character is two columns wide
            mark = match["line"][0]
            yield Heading(match.start(), depths.setdefault(mark, len(depths) + 1), match["title"])
