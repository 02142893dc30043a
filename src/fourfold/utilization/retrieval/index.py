"""A folder of documents that can be asked: `open_index`, `update`, `search`."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from fourfold.errors import UserError, unknown_name
from fourfold.files import disk_errors, hash_value, lock_folder
from fourfold.kernels import hash_term
from fourfold.utilization.retrieval.dense import (
    FUSED,
    Encoder,
    Vectors,
    embed_missing,
    embed_question,
    fuse,
    load_vectors,
    nearest,
)
from fourfold.utilization.retrieval.passages import Passage
from fourfold.utilization.retrieval.postings import Scores, bm25
from fourfold.utilization.retrieval.report import IndexReport
from fourfold.utilization.retrieval.store import Store, StoredPassage
from fourfold.utilization.retrieval.terms import terms_of
from fourfold.utilization.retrieval.updating import IndexLimits, update

Method = Literal["bm25", "dense", "hybrid"]
_DATABASE = "index.sqlite"
_MOST_TIED = 256


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage that was found."""

    passage: Passage
    score: float
    """Comparable within one method only: BM25 has no upper bound; dense is a cosine; hybrid is a sum of ranks."""
    method: Method


def default_index_folder(folder: Path) -> Path:
    """Where the index of a folder is kept: in the user's cache, one for each absolute path."""
    folder = folder.resolve()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return cache / "fourfold" / "documents" / f"{folder.name or 'root'}-{key}"


def open_index(
    folder: str | Path,
    *,
    index_folder: str | Path | None = None,
    limits: IndexLimits | None = None,
    encoder: Encoder | None = None,
) -> DocumentIndex:
    """The index of a folder of documents, as it was left; `update` brings it up to date.

    It is kept in `index_folder`, else in the user's cache (`DocumentIndex.index_folder` says where): it holds the
    documents' text, readable by this user only. With an `encoder` (`fourfold.load` of a sentence encoder), `update`
    gives passages a vector too, and search can be dense or hybrid.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError("a file, not a folder" if folder.is_file() else "no such folder", where=folder)
    place = Path(index_folder).expanduser().resolve() if index_folder else default_index_folder(folder)
    return DocumentIndex(folder.resolve(), place, limits or IndexLimits(), encoder)


class DocumentIndex:
    """Passages of the documents in a folder, found by their words.

    One process may update it while others search: they see every step that it finishes.
    """

    def __init__(self, folder: Path, index_folder: Path, limits: IndexLimits, encoder: Encoder | None = None) -> None:
        self.folder = folder
        self.index_folder = index_folder
        self.limits = limits
        self.encoder = encoder
        self._vectors: Vectors | None = None
        with disk_errors(index_folder):
            index_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._store = Store(index_folder / _DATABASE)
        self._segments = self._store.segments()

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Passages."""
        return self._store.count_passages()

    def update(self) -> IndexReport:
        """Read what is new or changed in the folder and forget what is gone; a kill at any instant loses only work.

        A file counts as changed when its size or time did, and its content too. What it may cost is said first.
        """
        with lock_folder(self.index_folder, "Wait for it."), disk_errors(self.index_folder):
            report = update(self.folder, self._store, self.limits)
            self._segments = self._store.segments()
            if self.encoder is not None:
                embed_missing(self.encoder, self._store, np.flatnonzero(self._alive()))
                self._vectors = None
        return report

    def frequencies(self, terms: Sequence[str]) -> dict[str, int]:
        """In how many passages each term (of `terms_of`) stands, by itself or in the heading over them."""
        hashes = {term: hash_term(term) for term in terms}
        found = {term: [segment.postings(hash) for segment in self._segments] for term, hash in hashes.items()}
        return {term: sum(len(one[0]) for one in each if one is not None) for term, each in found.items()}

    def search(self, question: str, k: int = 8, method: Method = "bm25") -> list[Hit]:
        """The `k` passages that answer best, best first; fewer if fewer have anything in common with it."""
        if k < 1:
            raise UserError("how many passages?", expected="at least 1", got=k)
        if self._store.changed_elsewhere():
            self._segments, self._vectors = self._store.segments(), None
        found = self._words(question, k) if method == "bm25" else self._meaning(question, k, method)
        # Of passages that tie with the last, those first in the folder: so the order tells nothing of how it grew.
        passages = self._store.passages(found.numbers[: max(4 * k, _MOST_TIED)].tolist())
        scores = dict(zip(found.numbers.tolist(), found.scores.tolist(), strict=True))
        ranked = sorted(passages, key=lambda passage: (-scores[passage.id], passage.path, passage.number))
        return [Hit(passage=_passage(one), score=scores[one.id], method=method) for one in ranked[:k]]

    def _words(self, question: str, k: int) -> Scores:
        return bm25(self._segments, [hash_term(term) for term in terms_of(question)], k)

    def _meaning(self, question: str, k: int, method: Method) -> Scores:
        if method not in ("dense", "hybrid"):
            raise unknown_name("search method", method, ["bm25", "dense", "hybrid"])
        if self.encoder is None:
            raise UserError(
                f"{method} search needs an encoder", where=self.folder, advice="Open the index with one, or use bm25."
            )
        if self._vectors is None:
            self._vectors = load_vectors(self._store)
        if not len(self._vectors.passages):
            raise UserError("no passage has a vector yet", where=self.folder, advice="Update the index first.")
        vector = embed_question(self.encoder, question)
        if method == "dense":
            return nearest(self._vectors, self._alive(), vector, k)
        return fuse(self._words(question, FUSED), nearest(self._vectors, self._alive(), vector, FUSED), k)

    def _alive(self) -> NDArray[np.bool_]:
        """Of each number that a passage ever had: is it still one?"""
        return np.concatenate([segment.alive for segment in self._segments] or [np.empty(0, np.bool_)])

    def passages(self) -> Iterator[Passage]:
        """All passages that are searched, in the order of their files' paths."""
        for row in sorted(self._store.files().values(), key=lambda row: row.path):
            number = 1
            while row.readable and (found := self._store.passage(row.path, number)) is not None:
                yield _passage(found)
                number += 1

    def fingerprint(self) -> str:
        """Equal for equal documents: a hash of the paths and contents that are searched."""
        return hash_value(sorted((row.path, row.hash) for row in self._store.files().values() if row.readable))

    def passage(self, id: str) -> Passage:
        """The passage of a `Passage.id`."""
        path, _, number = id.rpartition("#")
        found = self._store.passage(path, int(number)) if number.isdecimal() else None
        if found is None:
            raise UserError("no such passage", where=self.folder, got=id)
        return _passage(found)


def _passage(stored: StoredPassage) -> Passage:
    return Passage(
        id=f"{stored.path}#{stored.number}",
        text=stored.text,
        source=stored.path,
        place=stored.place,
        heading=stored.heading,
    )
