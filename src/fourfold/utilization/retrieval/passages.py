"""Sections to passages: pieces long enough to answer from and short enough to cite."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fourfold.pretraining.corpus import normalise
from fourfold.pretraining.corpus.formats import Section


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A piece of a document that can be cited."""

    id: str
    """`source#number`: the same as long as the file does not change."""
    text: str
    source: str
    """Path relative to the folder, with `/`."""
    place: str
    """Where in the file: `page 3`, `lines 10-24`, `slide 2`, `sheet Budget, rows 2-40`."""
    heading: str
    """The headings above it, outermost first, joined by ` > `."""


Span = tuple[int, int]


class Draft(NamedTuple):
    """A passage that does not know its file yet."""

    text: str
    place: str
    heading: str

    @property
    def searched(self) -> str:
        """What search looks at: the heading counts as if it stood over each passage under it."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """How long passages are. Lengths are bytes of UTF-8: by them a Han character weighs three Latin letters, about
    what it takes to say the same."""

    size: int = 1200
    overlap: int = 0
    """At most this much of the end of a passage is repeated at the start of the next."""


# From the strongest place to cut at to the weakest; within a page of a PDF only lines are known.
_CUTS = (
    re.compile(r"\n[^\S\n]*(?=\n)"),
    re.compile(r"\n"),
    re.compile(r"(?<=[。！？；])|(?<=[.!?])\s+"),
    re.compile(r"(?<=[，、,;:])|\s+"),
)


def split(section: Section, splitting: Splitting) -> Iterator[Draft]:
    """The passages of a section; a heading with nothing under it is none."""
    text = section.text
    if _only_heading(text, section.heading):
        return
    lines = [0, *(match.end() for match in re.finditer("\n", text))]
    for start, end in _Cutter(text, splitting.size).packed(splitting.overlap):
        piece = normalise(text[start:end])
        if piece:
            start += len(text[start:end]) - len(text[start:end].lstrip())
            end = start + len(text[start:end].rstrip())
            first, last = (section.first + bisect_right(lines, at) - 1 for at in (start, end - 1))
            yield Draft(piece, _encodable(_place(section, first, last)), _encodable(section.heading))


def _encodable(name: str) -> str:
    """A name of an attachment or a sheet may hold what no encoding knows."""
    return name.encode(errors="replace").decode()


def _only_heading(text: str, heading: str) -> bool:
    if not heading or len(text) > 2 * len(heading) + 200:
        return False
    words = re.findall(r"\w+", text)
    return words == re.findall(r"\w+", heading.rpartition(" > ")[2])


def _place(section: Section, first: int, last: int) -> str:
    if not section.unit:
        return section.place
    numbers = f"{section.unit} {first}" if first == last else f"{section.unit}s {first}-{last}"
    return f"{section.place}, {numbers}" if section.place else numbers


class _Cutter:
    """Cuts one text to spans that are short enough, at the strongest places that make them so."""

    def __init__(self, text: str, size: int) -> None:
        self._text = text
        self._size = size
        self._is_ascii = text.isascii()

    def length(self, start: int, end: int) -> int:
        """Bytes of UTF-8."""
        return end - start if self._is_ascii else len(self._text[start:end].encode(errors="replace"))

    def spans(self, start: int, end: int, cuts: tuple[re.Pattern[str], ...] = _CUTS) -> Iterator[Span]:
        """Cover [start, end) by spans of at most the size."""
        if self._fits(start, end):
            yield start, end
        elif not cuts:
            step = self._size // 4  # no character has more bytes
            yield from ((at, min(at + step, end)) for at in range(start, end, step))
        else:
            at = start
            for match in cuts[0].finditer(self._text, start, end):
                after = match.end()
                if after > at:
                    if self._fits(at, after):
                        yield at, after
                    else:
                        yield from self.spans(at, after, cuts[1:])
                    at = after
            if at < end:
                yield from self.spans(at, end, cuts[1:])

    def _fits(self, start: int, end: int) -> bool:
        return 4 * (end - start) <= self._size or self.length(start, end) <= self._size

    def packed(self, overlap: int) -> Iterator[Span]:
        """Neighbouring spans joined while they fit together."""
        held: list[tuple[int, int, int]] = []
        room = self._size
        for start, end in self.spans(0, len(self._text)):
            length = self.length(start, end)
            if held and length > room:
                yield held[0][0], held[-1][1]
                held = _tail(held, min(overlap, self._size - length))
                room = self._size - sum(size for *_, size in held)
            held.append((start, end, length))
            room -= length
        if held:
            yield held[0][0], held[-1][1]


def _tail(held: list[tuple[int, int, int]], most: int) -> list[tuple[int, int, int]]:
    kept = len(held)
    while kept and (most := most - held[kept - 1][2]) >= 0:
        kept -= 1
    return held[kept:]
