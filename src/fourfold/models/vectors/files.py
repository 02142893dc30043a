"""word2vec's text and binary formats: a line `V D`, then each word with its D numbers, as text or as fp32.

Letters: V words, D vector size.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError
from fourfold.files import atomic_file, require_file
from fourfold.models.vectors.vectors import StaticVectors
from fourfold.progress import task

Format = Literal["text", "binary"]
TEXT_ENDINGS, BINARY_ENDINGS = (".txt", ".vec", ".txt.gz", ".vec.gz"), (".bin", ".bin.gz")
LOOK = 1 << 16
LONGEST_WORD = 10_000
MOST = 1 << 40
"""More numbers than any file has: a header that says so is broken."""


class Header(NamedTuple):
    words: int
    size: int


def format_of(path: Path) -> Format | None:
    """What the ending of an output file asks for."""
    name = path.name.lower()
    return "text" if name.endswith(TEXT_ENDINGS) else "binary" if name.endswith(BINARY_ENDINGS) else None


def write_vectors(vectors: StaticVectors, path: Path, form: Format | None = None) -> None:
    """The whole file or none; gzip if the name ends in .gz."""
    form = form or format_of(path)
    if form is None:
        endings = ", ".join((*TEXT_ENDINGS[:2], *BINARY_ENDINGS[:1]))
        raise UserError(
            "the name does not say which format is meant", where=path, expected=f"one that ends in {endings}"
        )
    for word in vectors.words:
        if not word or any(character in word for character in " \n\t\r"):
            raise UserError("a word with white space cannot be written in word2vec's formats", got=repr(word))
    with atomic_file(path) as raw, task("write vectors", len(vectors), "words") as work:
        stream = gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) if path.name.lower().endswith(".gz") else raw
        stream.write(f"{len(vectors)} {vectors.size}\n".encode())
        for word, row in zip(vectors.words, vectors.matrix, strict=True):
            if form == "binary":
                stream.write(word.encode() + b" " + row.astype("<f4").tobytes() + b"\n")
            else:
                stream.write(f"{word} {' '.join(map(_shortest, row))}\n".encode())
            work.advance()
        if stream is not raw:
            stream.close()


def _shortest(number: np.float32) -> str:
    """The fewest digits that read back as the same fp32."""
    return np.format_float_positional(number, unique=True, trim="-")


def read_vectors(path: Path) -> StaticVectors:
    """Either format, told apart by the bytes."""
    require_file(path)
    try:
        with _opened(path) as stream:
            header = _header(stream.readline(LONGEST_WORD), path)
            rows = _text_rows if _is_text(stream, header) else _binary_rows
            words: list[str] = []
            matrix = np.empty((header.words, header.size), np.float32)
            with task("read vectors", header.words, "words") as work:
                for number, (word, row) in enumerate(rows(stream, header, path)):
                    words.append(word)
                    matrix[number] = row
                    work.advance()
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise UserError("cannot be read to its end", where=path, got=str(error)) from None
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(bad):
        raise UserError("a vector with a number that is none", where=path, got=f"the word {words[bad[0]]!r}")
    try:
        return StaticVectors(words, matrix)
    except UserError as error:
        raise UserError(str(error).rstrip("."), where=path) from None


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader[Any]]:
    with io.BufferedReader(io.FileIO(path), LOOK) as stream:
        if stream.peek(2)[:2] != b"\x1f\x8b":
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as packed, io.BufferedReader(packed, LOOK) as unpacked:
            yield unpacked


def _header(line: bytes, path: Path) -> Header:
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not line.endswith(b"\n"):
        shown = line[:40].decode("utf-8", "replace").rstrip()
        raise UserError(
            "not a word2vec file",
            where=f"{path}:1",
            expected="the number of words and the vector size",
            got=repr(shown),
        )
    header = Header(int(parts[0]), int(parts[1]))
    if not (header.words and header.size and header.words * header.size < MOST):
        raise UserError("impossible sizes in the first line", where=f"{path}:1", got=f"{header.words} x {header.size}")
    available = path.stat().st_size * (1 if not path.name.lower().endswith(".gz") else 1100)
    if header.words * header.size > available:
        raise UserError(
            "the first line says more numbers than the file can hold",
            where=f"{path}:1",
            expected=f"{header.words:,} x {header.size:,} numbers",
            got=f"{available:,} bytes",
            advice="Is the file whole?",
        )
    return header


def _is_text(stream: io.BufferedReader[Any], header: Header) -> bool:
    """Whether what follows the header is a word and numbers in letters."""
    start = stream.peek(LOOK)[:LOOK]
    line, newline, _ = start.partition(b"\n")
    parts = line.split()
    numbers = parts[-header.size :] if newline else parts[1:-1]
    return len(parts) > 1 and all(_is_number(part) for part in numbers)


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text_rows(stream: io.BufferedReader[Any], header: Header, path: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number in range(2, header.words + 2):
        line = stream.readline()
        parts = line.rstrip().rsplit(b" ", header.size)
        where = f"{path}:{number}"
        if not line:
            raise _too_few(header, number - 2, path)
        if len(parts) != header.size + 1:
            raise UserError(
                "not a word and its numbers", where=where, expected=f"{header.size} numbers", got=len(parts) - 1
            )
        try:
            row = np.array(parts[1:], np.float32)
        except ValueError as error:
            raise UserError("not a number", where=where, got=str(error).rpartition(": ")[2]) from None
        yield _word(parts[0], where), row
    if stream.readline().strip():
        raise UserError("more lines than the first line says", where=path, expected=f"{header.words:,} words")


def _binary_rows(
    stream: io.BufferedReader[Any], header: Header, path: Path
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    width = 4 * header.size
    data = b""
    for number in range(header.words):
        while (at := data.find(b" ")) < 0 or len(data) < at + 1 + width:
            more = stream.read(max(LOOK, width))
            if at < 0 and len(data) > LONGEST_WORD:
                raise UserError(
                    "no word where one should begin", where=path, got=f"word {number + 1:,} of {header.words:,}"
                )
            if not more:
                raise _too_few(header, number, path)
            data += more
        # The authors' program ends a row by a line feed, others do not.
        yield (
            _word(data[:at].lstrip(b"\n"), f"{path}, word {number + 1:,}"),
            np.frombuffer(data, "<f4", header.size, at + 1),
        )
        data = data[at + 1 + width :]
    if (data + stream.read(16)).strip(b"\n"):
        raise UserError("more bytes than the first line says", where=path, expected=f"{header.words:,} words")


def _word(raw: bytes, where: object) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise UserError("a word that is not UTF-8", where=where, got=repr(raw[:40])) from None


def _too_few(header: Header, found: int, path: Path) -> UserError:
    return UserError(
        "ends too early",
        where=path,
        expected=f"{header.words:,} words of {header.size} numbers",
        got=f"{found:,} words",
    )
