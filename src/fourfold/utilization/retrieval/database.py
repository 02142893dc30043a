"""What a database says when it fails, for the user."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fourfold.errors import UserError


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says of the disk, of another process or of a strange file into one sentence."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = (error.sqlite_errorcode or 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise UserError("the disk is full", where=path, advice="Free some space; finished work is kept.") from error
        if code == sqlite3.SQLITE_BUSY:
            raise UserError("another process is writing this index", where=path, advice="Wait for it.") from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise UserError("may not write here", where=path, advice="Choose another index folder.") from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise UserError(
                "not an index of ours, or a damaged one", where=path, advice="Delete it; it will be made again."
            ) from error
        raise
