"""Atomic files, hashes and locks: whatever is on disk is whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission or a file in the way into one sentence about `path`."""
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                "the disk is full",
                where=path,
                advice="Free some space and run the command again; finished work is kept.",
            ) from error
        if number == errno.EFBIG:
            raise UserError(
                "the file is larger than the disk or `ulimit -f` allows",
                where=path,
                advice="Choose another output folder.",
            ) from error
        if number in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError("may not write here", where=path, advice="Choose another output folder.") from error
        if number in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
            raise UserError("a file stands where a folder is needed, or the reverse", where=path) from error
        raise


def _error_number(error: Exception) -> int | None:
    """The system's number of an error; packages written in Rust hand it on as "… (os error 28)"."""
    if isinstance(error, OSError):
        return error.errno
    found = None if isinstance(error, UserError) else re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


@contextmanager
def output_folder(path: Path) -> Iterator[None]:
    """Make a folder to write into; if the block fails and left nothing in it, it goes again."""
    with disk_errors(path):
        was_there = path.is_dir()
        path.mkdir(parents=True, exist_ok=True)
        try:
            yield
        except BaseException:
            if not was_there:
                with suppress(OSError):  # not empty
                    path.rmdir()
            raise


@contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file that appears under its name only when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, mode, encoding=None if "b" in mode else "utf-8") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name, whole, only when the block ends without an error.

    An existing folder of that name is replaced at that moment.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    with disk_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """A safetensors file of arrays that may themselves be mapped from files: none is copied into memory."""
    # The order of the `safetensors` package: by name within a type.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    header, offset = {}, 0
    for name, array in ordered:
        kind = f"{array.dtype.kind.upper()}{8 * array.dtype.itemsize}"  # F32, I32, U8
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_file(path) as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            stream.write(np.ascontiguousarray(array).data)


def write_text(path: Path, text: str) -> None:
    with atomic_file(path, "w") as stream:
        stream.write(text)


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_jsonl(path: Path, records: Iterable[object]) -> int:
    """Write one JSON value a line; returns how many."""
    count = 0
    with atomic_file(path, "w") as stream:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += 1
    return count


def append_jsonl(path: Path, record: object) -> None:
    """Append one line; a crash can only lose or cut the last line, which `read_jsonl` then names."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def require_file(path: Path) -> None:
    """Refuse a path that is no file."""
    if not path.is_file():
        raise UserError("a folder, not a file" if path.is_dir() else "no such file", where=path)


def read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        require_file(path)
        raise UserError("may not be read", where=path) from None
    except UnicodeDecodeError as error:
        raise UserError("not UTF-8 text", where=path, got=f"a bad byte at offset {error.start}") from None


def read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError("not valid JSON", where=f"{path}:{error.lineno}", got=error.msg) from None


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value); a malformed line raises a UserError that names it."""
    require_file(path)
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    yield number, json.loads(line.decode("utf-8"))
                except UnicodeDecodeError:
                    raise UserError("not UTF-8 text", where=f"{path}:{number}") from None
                except json.JSONDecodeError as error:
                    raise UserError("not a JSON line", where=f"{path}:{number}", got=error.msg) from None


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_value(value: object) -> str:
    """SHA-256 of a JSON value in canonical form: equal values have equal hashes."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def lock_folder(folder: Path, advice: str = "Wait for it, or choose another --runs folder.") -> Iterator[None]:
    """Hold `folder` for this process; another process that wants it gets a UserError with this advice."""
    with _lock_file(folder) as stream:
        if not _try_lock(stream):
            raise UserError(
                "another process is working in this folder",
                where=folder,
                advice=advice,
            )
        yield


def _lock_file(folder: Path) -> IO[str]:
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return open(folder / ".lock", "a+", encoding="utf-8")


def _try_lock(stream: IO[str]) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
