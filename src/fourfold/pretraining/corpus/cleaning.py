"""Normalisation and exact deduplication."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from fourfold.pretraining.corpus.documents import Document

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n?|\u2028|\u2029|\x85")
_BLANK_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")
_SHORTEST_PARAGRAPH = 60


def normalise(text: str, *, code: bool = False) -> str:
    """NFC, `\\n` line ends, no control characters, no trailing blanks, at most one empty line in prose."""
    is_ascii = text.isascii()
    if not is_ascii or "\r" in text:
        text = _LINE_END.sub("\n", text)
    if _CONTROL.search(text):  # far faster than replacing nothing
        text = _CONTROL.sub("", text)
    if not is_ascii:
        text = _SURROGATE.sub("\ufffd", text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    if " \n" in text or "\t\n" in text:
        text = re.sub(r"[ \t]+\n", "\n", text)
    if code:
        return text.strip("\n")
    return (_BLANK_LINES.sub("\n\n", text) if "\n\n\n" in text else text).strip()


class Deduplicator:
    """Drops whole documents seen before, then paragraphs of prose seen before.

    Comparison is exact after folding case and white space. Paragraphs under 60 characters stay
    (refrains, headings, "Thank you."), and so do those of code, where a gap would break the file.
    The first of equals stays, across splits, so no paragraph is both trained on and held out.
    """

    def __init__(self) -> None:
        self._documents: set[bytes] = set()
        self._paragraphs: set[bytes] = set()
        self.documents = 0
        """Duplicate documents dropped."""
        self.paragraphs = 0
        """Repeated paragraphs dropped."""

    def __call__(self, document: Document) -> Document | None:
        key = _key(document.text)
        if key in self._documents:
            self.documents += 1
            return None
        self._documents.add(key)
        if document.group == "code":
            return document
        paragraphs = document.text.split("\n\n")
        kept = [paragraph for paragraph in paragraphs if self._is_new(paragraph)]
        if not kept:
            self.documents += 1
            return None
        self.paragraphs += len(paragraphs) - len(kept)
        return document.with_text("\n\n".join(kept)) if len(kept) < len(paragraphs) else document

    def _is_new(self, paragraph: str) -> bool:
        if len(paragraph) < _SHORTEST_PARAGRAPH:
            return True
        key = _key(paragraph)
        if key in self._paragraphs:
            return False
        self._paragraphs.add(key)
        return True


def _key(text: str) -> bytes:
    return hashlib.blake2b(" ".join(text.lower().split()).encode(), digest_size=16).digest()
