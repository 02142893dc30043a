"""Compressed files, opened only as far as they keep within bounds."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from fourfold.pretraining.corpus.formats.section import MEGABYTE, ReadingLimits, Unreadable

_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def file_bytes(path: Path, limits: ReadingLimits) -> bytes:
    """The whole of a file that is neither empty nor too large."""
    check_size(path, limits)
    with open(path, "rb") as stream:
        data = stream.read(limits.file + 1)
    if len(data) > limits.file:  # it grew since it was measured
        raise _too_large(limits)
    return data


def check_size(path: Path, limits: ReadingLimits) -> None:
    size = path.stat().st_size
    if size == 0:
        raise Unreadable("empty file")
    if size > limits.file:
        raise _too_large(limits)


def check_zip(path: Path, limits: ReadingLimits) -> None:
    """Refuse an Office file that is none, or that would unpack to more than the limit.

    The sizes that the archive declares can be trusted as a bound: `zipfile` reads no member beyond them.
    """
    check_size(path, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        with open(path, "rb") as stream:
            if stream.read(8) == _OLD_OFFICE:
                raise Unreadable("encrypted, or in the Office format of before 2007") from error
        raise Unreadable("damaged: not a zip archive, as it should be") from error
    if unpacked > limits.unpacked:
        raise Unreadable(f"unpacks to more than {limits.unpacked // MEGABYTE} MB")


def gunzip(data: bytes, limits: ReadingLimits) -> bytes:
    """The content of a gzip file (all its members), at most `limits.unpacked` bytes."""
    whole = bytearray()
    try:
        while data:
            member = zlib.decompressobj(wbits=31)
            whole += member.decompress(data, limits.unpacked + 1 - len(whole))
            if len(whole) > limits.unpacked:
                raise Unreadable(f"unpacks to more than {limits.unpacked // MEGABYTE} MB")
            if not member.eof:
                raise Unreadable("damaged: the gzip file ends too early")
            data = member.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise Unreadable("damaged: not a gzip file") from error
    return bytes(whole)


def _too_large(limits: ReadingLimits) -> Unreadable:
    return Unreadable(f"larger than {limits.file // MEGABYTE} MB: split it")
