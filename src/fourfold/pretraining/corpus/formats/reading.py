"""One door to every format: a path in, sections out."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from fourfold.pretraining.corpus.encodings import UnknownEncoding, decode
from fourfold.pretraining.corpus.formats.bounds import file_bytes, gunzip
from fourfold.pretraining.corpus.formats.headings import HeadingPath, sections_of
from fourfold.pretraining.corpus.formats.mail import read_mail
from fourfold.pretraining.corpus.formats.office import read_docx, read_pptx, read_xlsx
from fourfold.pretraining.corpus.formats.pdf import read_pdf
from fourfold.pretraining.corpus.formats.section import ReaderMissing, ReadingLimits, Section, Unreadable
from fourfold.pretraining.corpus.html import HtmlReaderMissing, html_parts

MARKDOWN = frozenset({".md", ".markdown"})
TEXT = MARKDOWN | {".txt", ".rst", ".text"}
HTML = frozenset({".html", ".htm", ".xhtml"})
JSON_LINES = frozenset({".jsonl", ".ndjson"})
_CODE_EXTENSIONS = (
    ".py .pyi .c .h .cc .cpp .hpp .cu .cs .java .js .mjs .ts .tsx .jsx .go .rs .rb .php .sh .bash .sql .r .jl .lua"
    " .swift .kt .scala .hs .ml .clj .ex .erl .pl .vue .css .asm .f90 .m .zig .nim .dart .tcl .el .lisp"
)
CODE = frozenset(_CODE_EXTENSIONS.split())
_Reader = Callable[[Path, ReadingLimits], Iterator[Section]]
_PACKAGED: dict[str, _Reader] = {".pdf": read_pdf, ".docx": read_docx, ".xlsx": read_xlsx, ".pptx": read_pptx}
OFFICE = frozenset({*_PACKAGED, ".xlsm", ".docm", ".pptm", ".eml"})
"""What the extra `documents` reads, and e-mail."""
_NOTE_EXTENSIONS = ".org .adoc .asciidoc .tex .bib .log .csv .tsv .srt .vtt .json .xml .yaml .yml .toml .ini .cfg"
NOTES = frozenset(_NOTE_EXTENSIONS.split())
"""Text that people keep among their documents and that is no prose to train on."""
NO_READER = {".doc", ".epub", ".odt", ".ods", ".odp", ".rtf", ".xls", ".ppt", ".msg"}


def read_sections(path: Path, limits: ReadingLimits | None = None) -> Iterator[Section]:
    """The text of a document with its places; `Unreadable` says why there is none.

    What a format's own library stumbles over is a damaged file to us: its name is in the message, its words,
    which may quote the file, are not.
    """
    limits = limits or ReadingLimits()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from _read(path, path.suffix.lower(), limits)
    except (Unreadable, OSError):
        raise
    except ModuleNotFoundError as error:
        raise ReaderMissing(f"reading {path.suffix.lower()} needs: pip install 'fourfold[documents]'") from error
    except HtmlReaderMissing as error:
        raise ReaderMissing(str(error)) from error
    except UnknownEncoding as error:
        raise Unreadable(str(error)) from error
    except MemoryError as error:
        raise Unreadable("needs more memory than a reader may take") from error
    except Exception as error:  # any library, any damage
        raise Unreadable(f"damaged ({type(error).__name__})") from error


def _read(path: Path, extension: str, limits: ReadingLimits) -> Iterator[Section]:
    if extension in OFFICE:
        if extension == ".eml":
            return read_mail(path, limits, lambda attachment: read_sections(attachment, limits))
        return _PACKAGED[re.sub("m$", "x", extension)](path, limits)
    if extension in NO_READER:
        raise Unreadable("no reader: save it as PDF, DOCX or text first")
    data = file_bytes(path, limits)
    if extension == ".gz":
        data, extension = gunzip(data, limits), Path(path.stem).suffix.lower()
    if extension not in TEXT | HTML | JSON_LINES | CODE | NOTES and not _looks_like_text(data):
        raise Unreadable("no reader for this extension")
    return _text_sections(decode(data).text, extension)


def _looks_like_text(data: bytes) -> bool:
    """Of a file whose name tells nothing: UTF-8 without control characters in its beginning."""
    head = data[:4096]
    return re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head) is None and b"\xff" not in head and b"\xfe" not in head


def _text_sections(text: str, extension: str) -> Iterator[Section]:
    if extension in HTML:
        found = _html_sections(text)
    else:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if extension in JSON_LINES:
            found = iter([Section(text="\n".join(map(_strings, text.split("\n"))))])
        elif extension in CODE | NOTES:
            found = iter([Section(text=text)])
        else:
            found = sections_of(text, marked=extension in MARKDOWN)
    empty = True
    for section in found:
        if section.text.strip():
            empty = False
            yield section
    if empty:
        raise Unreadable("holds no text")


def _html_sections(page: str) -> Iterator[Section]:
    path = HeadingPath()
    first = 1
    for part in html_parts(page):
        text = part.text.replace("\n\n", "\n")
        if part.heading:
            path.enter(part.level, part.heading)
        yield Section(text=text, unit="paragraph", first=first, heading=path.text)
        first += text.count("\n") + 1 if text else 0


def _strings(line: str) -> str:
    """The strings of a JSON record on one line; a line that is none stays as it is."""
    try:
        waiting = [json.loads(line)]
    except (ValueError, RecursionError):
        return line
    found: list[str] = []
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, str):
            found.append(" ".join(value.split()))
        elif isinstance(value, dict | list):
            waiting[:0] = list(value.values()) if isinstance(value, dict) else value
    return " · ".join(found)
