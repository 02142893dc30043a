"""Headings: where they stand in Markdown, reStructuredText and plain text, and under which others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from fourfold.pretraining.corpus.formats.section import Section

_LONGEST = 120
# A fence hides what looks like a heading inside it.
_MARKED = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*$|^(?P<level>\#{1,6})[ \t]+(?P<title>[^\n]+?)[ \t#]*$", re.MULTILINE
)
_UNDERLINE = re.compile(r"^([=\-~^\"*+#])\1{2,}(?=[ \t]*$)", re.MULTILINE)
_CHAPTER = re.compile(
    r"^[ \t　]*(?P<title>第[〇零一二三四五六七八九十百千\d]{1,6}(?P<kind>[部编編篇卷章回节節])[^\n]{0,40})$",
    re.MULTILINE,
)
_CHAPTER_LEVELS = dict.fromkeys("部编編篇卷", 1) | dict.fromkeys("章回", 2) | dict.fromkeys("节節", 3)


class HeadingPath:
    """The headings above a place, from the outermost in: `Installation > On Windows`."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> None:
        """A heading of this depth begins: it closes those of its own depth and deeper, and one of the same words (a
        page's title and its first heading are often the same)."""
        title = " ".join(title.split())[:_LONGEST]
        while self._open and (self._open[-1][0] >= level or self._open[-1][1] == title):
            self._open.pop()
        self._open.append((level, title))

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
    if "第" in text:
        chapters = _CHAPTER.finditer(text)
        found += (Heading(match.start(), _CHAPTER_LEVELS[match["kind"]], match["title"]) for match in chapters)
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
    for match in _UNDERLINE.finditer(text):
        start = text.rfind("\n", 0, max(match.start() - 1, 0)) + 1
        title = text[start : match.start()].rstrip("\n")
        # A Han character is two columns wide; a line above that is itself a rule is the frame of a table.
        if title[:1].strip() and len(title) <= min(_LONGEST, 2 * len(match[0])) and not _UNDERLINE.match(title):
            yield Heading(start, depths.setdefault(match[1], len(depths) + 1), title)
