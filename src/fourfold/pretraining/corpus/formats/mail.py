"""E-mail to text: what was said, and what was attached."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import policy
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from pathlib import Path, PurePosixPath

from fourfold.pretraining.corpus.encodings import UnknownEncoding, decode
from fourfold.pretraining.corpus.formats.bounds import file_bytes
from fourfold.pretraining.corpus.formats.section import ReadingLimits, Section, Unreadable
from fourfold.pretraining.corpus.html import html_to_text

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_DEEPEST = 3
Read = Callable[[Path], Iterator[Section]]


def read_mail(path: Path, limits: ReadingLimits, read: Read) -> Iterator[Section]:
    """The message, then each attachment that `read` can read; those it can not are passed over."""
    message = BytesParser(policy=policy.default).parsebytes(file_bytes(path, limits))
    yield from _message(message, read, "", _DEEPEST)


def _message(message: EmailMessage, read: Read, place: str, depth: int) -> Iterator[Section]:
    subject = _header(message, "Subject")
    head = "\n".join(f"{name}: {value}" for name in _HEADERS if (value := _header(message, name)))
    body = message.get_body(("plain", "html"))
    text = _text(body) if body is not None else ""
    if not head and not text.strip():
        raise Unreadable("not an e-mail: neither a header nor a body")
    yield Section(text=f"{head}\n\n{text}", place=place or "message", unit="", heading=subject)
    for part in message.iter_attachments() if message.is_multipart() else ():
        name = PurePosixPath((part.get_filename() or "attachment").replace("\\", "/")).name
        where = f"{place}, attachment {name}" if place else f"attachment {name}"
        if part.get_content_type() == "message/rfc822":
            if depth:
                yield from _message(part.get_content(), read, where, depth - 1)
        else:
            yield from _attachment(part, name, where, read)


def _attachment(part: MIMEPart, name: str, where: str, read: Read) -> Iterator[Section]:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes) or Path(name).suffix.lower() == ".eml":
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"attachment{Path(name).suffix}"
        path.write_bytes(data)
        try:
            for section in read(path):
                yield replace(section, place=", ".join(filter(None, (where, section.place))))
        except Unreadable:
            return


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())


def _text(part: MIMEPart) -> str:
    """A part's text; what it says about its encoding is often wrong, so the bytes are looked at."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    try:
        text = data.decode(part.get_content_charset() or "utf-8")
    except (UnicodeDecodeError, LookupError):
        try:
            text = decode(data).text
        except UnknownEncoding:
            return ""
    return html_to_text(text) if part.get_content_type() == "text/html" else text
