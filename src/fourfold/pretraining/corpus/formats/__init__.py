"""Formats of documents: text, Markdown, HTML, PDF, Word, Excel, PowerPoint and e-mail to text with its places."""

from fourfold.pretraining.corpus.formats.reading import CODE, HTML, JSON_LINES, NO_READER, OFFICE, TEXT, read_sections
from fourfold.pretraining.corpus.formats.section import ReaderMissing, ReadingLimits, Section, Unreadable

__all__ = [
    "CODE",
    "HTML",
    "JSON_LINES",
    "NO_READER",
    "OFFICE",
    "TEXT",
    "ReaderMissing",
    "ReadingLimits",
    "Section",
    "Unreadable",
    "read_sections",
]
