"""Files to documents: plain text, Markdown, HTML, PDF, Office files, e-mail, JSON lines, source code.

A file that can not be read is skipped and counted; memory stays bounded by the limits below.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fourfold.pretraining.corpus.documents import Document
from fourfold.pretraining.corpus.encodings import UnknownEncoding, decode, detect
from fourfold.pretraining.corpus.formats import (
    CODE,
    HTML,
    JSON_LINES,
    NO_READER,
    OFFICE,
    TEXT,
    Unreadable,
    read_sections,
)
from fourfold.pretraining.corpus.html import HtmlReaderMissing, html_to_text
from fourfold.pretraining.corpus.skips import Skips

LARGEST_FILE = 256 * 2**20
LARGEST_LINE = 16 * 2**20
_TEXT_FIELDS = ("text", "content", "body")


def read_file(path: Path, name: str, source: str, skips: Skips) -> Iterator[Document]:
    """The documents of one file; `name` begins their ids."""
    extension = path.suffix.lower()
    if extension not in TEXT | HTML | JSON_LINES | CODE | OFFICE:
        reason = "no reader: convert it to .txt first" if extension in NO_READER else "no reader for this extension"
        skips.add(reason, path, fault=False)
        return
    try:
        if extension in JSON_LINES:
            yield from _read_lines(path, name, source, skips)
            return
        text, meta = _text(path, extension)
    except (_Refused, Unreadable, UnknownEncoding, HtmlReaderMissing) as error:
        skips.add(str(error), path)
    except OSError as error:
        skips.add(f"can not be read: {error.strerror}", path)
    else:
        if not text.strip():
            skips.add("no text in it", path)
            return
        yield Document(id=name, text=text, source=source, meta=meta)


def _text(path: Path, extension: str) -> tuple[str, dict[str, Any]]:
    """The whole text of a file, and what is worth noting of it."""
    if extension in OFFICE:
        return _office_text(path), {}
    text, encoding = decode(_bytes(path))
    if extension in HTML:
        return html_to_text(text), {"encoding": encoding}
    return text, {"encoding": encoding} | ({"group": "code"} if extension in CODE else {})


def _office_text(path: Path) -> str:
    """All sections; of a file that is damaged further on, those before."""
    texts: list[str] = []
    try:
        texts.extend(section.text for section in read_sections(path))
    except Unreadable:
        if not texts:
            raise
    return "\n\n".join(texts)


class _Refused(ValueError):
    """The file breaks a limit; the message is the reason."""


def _bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size == 0:
        raise _Refused("empty file")
    if size > LARGEST_FILE:
        raise _Refused(f"larger than {LARGEST_FILE // 2**20} MB: split it")
    return path.read_bytes()


def _read_lines(path: Path, name: str, source: str, skips: Skips) -> Iterator[Document]:
    """JSON lines, one at a time; a bad line is skipped by number."""
    with open(path, "rb") as stream:
        head = stream.read(65536)
    if not head.strip():
        raise _Refused("empty file")
    with open(path, encoding=detect(head), errors="surrogateescape", newline="\n") as lines:
        number = 0
        while line := lines.readline(LARGEST_LINE):
            number += 1
            where = f"{path}:{number}"
            if len(line) == LARGEST_LINE and not line.endswith("\n"):
                while (rest := lines.readline(LARGEST_LINE)) and not rest.endswith("\n"):
                    pass
                skips.add(f"line longer than {LARGEST_LINE // 2**20} M characters", where)
                continue
            if not line.strip():
                continue
            try:
                yield _document_of(json.loads(line.removeprefix("\ufeff")), name, number, source)
            except json.JSONDecodeError as error:
                skips.add(f"not a JSON line ({error.msg})", where)
            except (_Refused, RecursionError) as error:
                skips.add(str(error) or "nested too deeply", where)


def _document_of(record: Any, name: str, number: int, source: str) -> Document:
    if isinstance(record, str):
        record = {"text": record}
    if not isinstance(record, dict):
        raise _Refused("not an object with a text")
    text = next((record[field] for field in _TEXT_FIELDS if isinstance(record.get(field), str)), None)
    if text is None:
        raise _Refused(f"no text under {', '.join(_TEXT_FIELDS)}")
    # Without an id of its own the text names the document, so that inserting a line moves nothing.
    key = record.get("id") or hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
    meta = {"line": number}
    return Document(id=f"{name}#{key}", text=text, source=source, meta=meta)
