"""What a reader of documents gives: pieces of text that know where they stand."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Text that stands together: under one heading, on one page or slide, in one sheet."""

    text: str
    place: str = ""
    """Where in the file, in words: `page 3`, `slide 2`, `sheet Budget`; empty if the lines say it all."""
    unit: str = "line"
    """What one line of `text` is to someone who opens the file: a line, a paragraph, a row; empty: nothing
    that can be counted there."""
    first: int = 1
    """Number of the first line of `text`, in that unit."""
    heading: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingLimits:
    """What one file may cost; beyond it the file is left out with a sentence."""

    file: int = 256 * MEGABYTE
    """Bytes on disk."""
    unpacked: int = 512 * MEGABYTE
    """Bytes that a compressed file may unpack to."""


class Unreadable(ValueError):
    """A file can not be read; the message is the reason, and holds nothing of the file's content."""


class ReaderMissing(Unreadable):
    """The package that reads this format is not installed."""
