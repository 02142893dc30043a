"""PDF to text, a section a page, by PDFium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fourfold.pretraining.corpus.formats.bounds import check_size
from fourfold.pretraining.corpus.formats.section import ReadingLimits, Section, Unreadable

# PDFium marks a hyphen at the end of a line, where a word goes on in the next, by one of these.
_HYPHENATED = re.compile("[\ufffe\x02]\r?\n?")


def read_pdf(path: Path, limits: ReadingLimits) -> Iterator[Section]:
    """The pages that hold text. A file without any is a scan: pictures of pages; one with many such is half of one,
    which is said after the others are read."""
    from pypdfium2 import PdfDocument, PdfiumError

    check_size(path, limits)
    try:
        document = PdfDocument(path)
    except PdfiumError as error:
        reason = "encrypted: it needs a password" if "password" in str(error).lower() else "damaged: not a PDF"
        raise Unreadable(reason) from error
    try:
        found = 0
        for number in range(len(document)):
            text = _page_text(document, number)
            if text.strip():
                found += 1
                yield Section(text=text, place=f"page {number + 1}", unit="")
        if not found:
            raise Unreadable("holds no text (a scan?)")
        if len(document) - found > len(document) / 4:
            raise Unreadable("more than a quarter of its pages hold no text (scans?)")
    finally:
        document.close()


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        text = page.get_textpage()
        try:
            return _HYPHENATED.sub("", str(text.get_text_bounded())).replace("\r\n", "\n").replace("\r", "\n")
        finally:
            text.close()
    finally:
        page.close()
