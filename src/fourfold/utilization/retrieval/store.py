"""The index on disk: one SQLite database, so that a kill at any instant leaves it as it was or as it was to be."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fourfold.utilization.retrieval.database import database_errors
from fourfold.utilization.retrieval.documents import Part
from fourfold.utilization.retrieval.postings import Arrays, Segment

VERSION = 1
"""Of the tables, the terms and the passages: an index of another version is made afresh."""
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, modified INTEGER NOT NULL,
    seen INTEGER NOT NULL, hash TEXT NOT NULL, readable INTEGER NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, number INTEGER NOT NULL,
    place TEXT NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX passages_of_file ON passages (file, number);
CREATE TABLE segments (
    first INTEGER PRIMARY KEY, terms BLOB NOT NULL, starts BLOB NOT NULL, lengths BLOB NOT NULL, owners BLOB NOT NULL
);
CREATE TABLE postings (
    segment INTEGER NOT NULL, number INTEGER NOT NULL, passages BLOB NOT NULL, counts BLOB NOT NULL,
    PRIMARY KEY (segment, number)
) WITHOUT ROWID;
CREATE TABLE vectors (id INTEGER PRIMARY KEY, looked_at BLOB NOT NULL, passages BLOB NOT NULL, vectors BLOB NOT NULL);
"""
_CHUNK = 8192
"""Postings in a row: SQLite reads a row from its beginning, so rows are kept short."""


class FileRow(NamedTuple):
    """A file as it was when it was last looked at."""

    id: int
    path: str
    size: int
    modified: int
    """Nanoseconds, as the file system says."""
    seen: int
    """Nanoseconds, when it was looked at."""
    hash: str
    readable: int
    """1: its passages are searched; 0: it holds none, or is still being read."""
    reason: str
    """Why it is left out, or what of it; empty: it was read whole."""


class StoredPassage(NamedTuple):
    id: int
    path: str
    number: int
    place: str
    heading: str
    text: str


class Store:
    """Tables of files, passages, segments and vectors; `writing` makes what happens inside it one step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with database_errors(path):
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            path.chmod(0o600)
            self._prepare()
        self._version = self._data_version()

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == VERSION:
            return
        with self.writing():
            for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if not name.startswith("sqlite_"):
                    self._db.execute(f'DROP TABLE "{name}"')
            for statement in _TABLES.split(";\n"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with database_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def changed_elsewhere(self) -> bool:
        """Has another process written since the last time this was asked?"""
        before, self._version = self._version, self._data_version()
        return self._version != before

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    # ---- facts and files

    def fact(self, name: str) -> str:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""

    def set_fact(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def files(self) -> dict[str, FileRow]:
        return {row[1]: FileRow(*row) for row in self._db.execute("SELECT * FROM files")}

    def add_file(self, row: FileRow) -> int:
        """The id that the file gets: one no file had before."""
        found = self._db.execute(
            "INSERT INTO files (path, size, modified, seen, hash, readable, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
            row[1:],
        ).lastrowid
        assert found is not None
        return found

    def set_file(self, row: FileRow) -> None:
        """All of a row, its path too."""
        self._db.execute(
            "UPDATE files SET path = ?, size = ?, modified = ?, seen = ?, hash = ?, readable = ?, reason = ?"
            " WHERE id = ?",
            (*row[1:], row.id),
        )

    def remove_file(self, id: int) -> None:
        self._db.execute("DELETE FROM passages WHERE file = ?", (id,))
        self._db.execute("DELETE FROM files WHERE id = ?", (id,))

    # ---- passages

    def next_number(self) -> int:
        """One more than any passage has or had in a segment."""
        ends = (first + len(owners) // 4 for first, owners in self._db.execute("SELECT first, owners FROM segments"))
        return max(ends, default=0)

    def add_passages(self, first: int, parts: Sequence[tuple[int, int, Part]]) -> None:
        """Passages of (file, number of its first one there, part), numbered on from `first`."""
        each = ((file, number + at, draft) for file, number, part in parts for at, draft in enumerate(part.drafts))
        self._db.executemany(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)",
            (
                (id, file, number, draft.place, draft.heading, draft.text)
                for id, (file, number, draft) in enumerate(each, first)
            ),
        )

    def passages(self, ids: Sequence[int]) -> list[StoredPassage]:
        """In the order asked for; one that is gone by now is left out."""
        marks = ", ".join("?" * len(ids))
        rows = self._db.execute(
            "SELECT passages.id, path, number, place, heading, text FROM passages JOIN files ON files.id = file"
            f" WHERE passages.id IN ({marks})",
            [int(id) for id in ids],
        )
        found = {row[0]: StoredPassage(*row) for row in rows}
        return [found[id] for id in ids if id in found]

    def passage(self, path: str, number: int) -> StoredPassage | None:
        row = self._db.execute(
            "SELECT passages.id, path, number, place, heading, text FROM passages JOIN files ON files.id = file"
            " WHERE path = ? AND number = ?",
            (path, number),
        ).fetchone()
        return StoredPassage(*row) if row else None

    def count_passages(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM passages").fetchone()
        return int(count)

    # ---- vectors

    def keep_vectors_of(self, encoder: str, probe: NDArray[np.float16]) -> None:
        """Forget all vectors unless they are this encoder's: of its name, and alike for the same probe."""
        before = np.array(json.loads(self.fact("probe") or "[]"), np.float16)
        same = self.fact("encoder") == encoder and before.shape == probe.shape
        if not (same and np.allclose(before, probe, atol=1e-2)):
            with self.writing():
                self._db.execute("DELETE FROM vectors")
                self.set_fact("encoder", encoder)
                self.set_fact("probe", json.dumps(probe.tolist()))

    def add_vectors(
        self, looked_at: NDArray[np.int64], passages: NDArray[np.int64], vectors: NDArray[np.float16]
    ) -> None:
        """Vectors of some of the passages that were looked at; the others are not legible."""
        blobs = _blob(looked_at), _blob(passages), _blob(vectors)
        self._db.execute("INSERT INTO vectors (looked_at, passages, vectors) VALUES (?, ?, ?)", blobs)

    def embedded(self) -> NDArray[np.int64]:
        """Passages that an encoder has looked at."""
        rows = [np.frombuffer(blob, np.int64) for (blob,) in self._db.execute("SELECT looked_at FROM vectors")]
        return np.concatenate(rows) if rows else np.empty(0, np.int64)

    def vectors(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        for passages, vectors in self._db.execute("SELECT passages, vectors FROM vectors"):
            numbers = np.frombuffer(passages, np.int64)
            yield numbers, np.frombuffer(vectors, np.float16).reshape(len(numbers), -1 if len(numbers) else 0)

    # ---- segments

    def add_segment(self, first: int, arrays: Arrays) -> None:
        self._db.execute(
            "INSERT INTO segments VALUES (?, ?, ?, ?, ?)",
            (first, _blob(arrays.terms), _blob(arrays.starts), _blob(arrays.lengths), _blob(arrays.owners)),
        )
        chunks = (slice(at, at + _CHUNK) for at in range(0, len(arrays.passages), _CHUNK))
        self._db.executemany(
            "INSERT INTO postings VALUES (?, ?, ?, ?)",
            ((first, number, _blob(arrays.passages[at]), _blob(arrays.counts[at])) for number, at in enumerate(chunks)),
        )

    def remove_segments(self, firsts: Sequence[int]) -> None:
        for first in firsts:
            self._db.execute("DELETE FROM segments WHERE first = ?", (first,))
            self._db.execute("DELETE FROM postings WHERE segment = ?", (first,))

    def segments(self) -> list[Segment]:
        """All segments in the order of their passages, as search needs them."""
        living = {id for (id,) in self._db.execute("SELECT id FROM files WHERE readable")}
        known = np.zeros(max(living, default=0) + 2, np.bool_)  # the last is false: for owners that came later
        known[list(living)] = True
        found = []
        for first, *blobs in self._db.execute("SELECT * FROM segments ORDER BY first"):
            terms, starts, lengths, owners = map(np.frombuffer, blobs, (np.uint64, np.uint32, np.uint16, np.uint32))
            alive = known[np.minimum(owners, len(known) - 1)]
            found.append(
                Segment(
                    first=first,
                    terms=terms,
                    starts=starts,
                    alive=alive,
                    lengths=lengths,
                    owners=owners,
                    fetch=partial(self._postings, first),
                )
            )
        return found

    def arrays(self, segment: Segment) -> Arrays:
        """All of a segment."""
        passages, counts = segment.fetch(0, int(segment.starts[-1]))
        return Arrays(segment.terms, segment.starts, passages, counts, segment.lengths, segment.owners)

    def _postings(self, segment: int, start: int, end: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Those from one place of a segment to another."""
        first = start // _CHUNK
        rows = self._db.execute(
            "SELECT passages, counts FROM postings WHERE segment = ? AND number BETWEEN ? AND ? ORDER BY number",
            (segment, first, (end - 1) // _CHUNK),
        ).fetchall()
        at = slice(start - first * _CHUNK, end - first * _CHUNK)
        passages, counts = (b"".join(column) for column in zip(*rows, strict=True)) if rows else (b"", b"")
        return np.frombuffer(passages, np.uint32)[at], np.frombuffer(counts, np.uint16)[at]


def _blob(array: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()
