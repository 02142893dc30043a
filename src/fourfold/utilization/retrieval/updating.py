"""Bringing an index up to date with its folder: look, compare, read what changed, commit in steps."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fourfold.files import hash_file
from fourfold.pretraining.corpus import walk_files
from fourfold.pretraining.corpus.formats import ReadingLimits
from fourfold.progress import say, task
from fourfold.utilization.retrieval.documents import Outcome, Part
from fourfold.utilization.retrieval.passages import Splitting
from fourfold.utilization.retrieval.pool import Answer, Job, ReaderLimits, read_apart, read_here
from fourfold.utilization.retrieval.postings import build, merge
from fourfold.utilization.retrieval.report import MEGABYTE, IndexPlan, IndexReport, group
from fourfold.utilization.retrieval.store import FileRow, Store

_IGNORED_FOLDERS = {"__pycache__", "node_modules"}
_OWN_MEMORY = 768 * MEGABYTE
_RECENT = 2 * 10**9
"""A file written this long (ns) before it was looked at may have been written again under the same time stamp."""
_FEW_BYTES = 4 * MEGABYTE
_NATIVE = {".pdf", ".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm", ".eml"}
_SEGMENT_TEXT = 32 * MEGABYTE
_MOST_SMALL_SEGMENTS = 8


@dataclass(frozen=True, kw_only=True)
class IndexLimits:
    """What an index may cost."""

    reading: ReadingLimits = field(default_factory=ReadingLimits)
    readers: ReaderLimits = field(default_factory=ReaderLimits)
    splitting: Splitting = field(default_factory=Splitting)
    disk: int = 20 * 2**30
    """Bytes of the index."""


@dataclass(kw_only=True)
class _Found:
    """The folder beside the index."""

    rows: dict[str, FileRow] = field(default_factory=dict)
    """Files to read, as they are now (without an id)."""
    paths: dict[str, Path] = field(default_factory=dict)
    """Where those files are."""
    unchanged: int = 0
    touched: list[FileRow] = field(default_factory=list)
    gone: list[FileRow] = field(default_factory=list)
    old: dict[str, int] = field(default_factory=dict)
    """Ids of the files to read that the index holds an older version of."""
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    """Paths that are no files of ours to read, and why."""


def update(folder: Path, store: Store, limits: IndexLimits) -> IndexReport:
    """Read what is new or changed, forget what is gone."""
    started = time.monotonic()
    found = _compare(folder, store, limits)
    size = sum(row.size for row in found.rows.values())
    memory = _OWN_MEMORY + limits.readers.processes * limits.readers.memory
    disk = _disk_bound(store.path, limits.disk)
    plan = IndexPlan(index_folder=store.path.parent, files=len(found.rows), bytes=size, memory=memory, disk=disk)
    if found.rows:
        say(str(plan))
    with store.writing():
        for row in found.touched:
            store.set_file(row)
        for row in found.gone:
            store.remove_file(row.id)
    writer = _Writer(store, found)
    with task("read", size / MEGABYTE, "MB") as work:
        for path, part in _answers(found, limits):
            writer.take(path, part)
            if isinstance(part, Outcome):
                work.advance(found.rows[path].size / MEGABYTE)
                if writer.is_full(disk):
                    writer.leave_out_the_rest(f"the index has reached its limit of {disk / 2**30:.1f} GB")
                    break
    writer.commit()
    _merge_small(store)
    with store.writing():
        store.set_fact("splitting", _signature(limits.splitting))
        store.set_fact("limits", _signature(limits.reading, limits.readers))
    skips = [(row.path, row.reason) for row in store.files().values() if row.reason]
    return IndexReport(
        plan=plan, read=writer.read, unchanged=found.unchanged, removed=len(found.gone), bytes=writer.bytes,
        passages=store.count_passages(), seconds=time.monotonic() - started,
        skipped=group([*skips, *writer.retried, *found.passed_over]),
    )  # fmt: skip


def _disk_bound(path: Path, limit: int) -> int:
    """The limit, or less where the disk has less: a tenth of what is free stays free."""
    return min(limit, path.stat().st_size + shutil.disk_usage(path.parent).free * 9 // 10)


def _compare(folder: Path, store: Store, limits: IndexLimits) -> _Found:
    known = store.files()
    found = _Found()
    trust = _Trust(
        passages=store.fact("splitting") == _signature(limits.splitting),
        refusals=store.fact("limits") == _signature(limits.reading, limits.readers),
    )

    def skip(reason: str, path: Path) -> None:
        found.passed_over.append((_name(path, folder), reason))

    for path in walk_files(folder, skip, _IGNORED_FOLDERS):
        if path.is_symlink():
            skip("a link to a file that is read where it stands", path)
        elif not path.is_relative_to(store.path.parent):
            before = known.pop(_name(path, folder), None)
            try:
                _compare_file(path, _name(path, folder), before, trust, found)
            except OSError as error:
                skip(f"can not be read: {error.strerror}", path)
                found.gone += [before] if before is not None else []
    found.gone += known.values()
    return found


def _name(path: Path, folder: Path) -> str:
    """The path below the folder as text, also where the system's bytes are none."""
    return path.relative_to(folder).as_posix().encode(errors="backslashreplace").decode()


def _signature(*limits: ReadingLimits | ReaderLimits | Splitting) -> str:
    return json.dumps([asdict(limit) for limit in limits])


class _Trust(NamedTuple):
    """What of the index still holds, since it was made under the same limits."""

    passages: bool
    refusals: bool


def _compare_file(path: Path, name: str, before: FileRow | None, trust: _Trust, found: _Found) -> None:
    status = path.stat()
    now = FileRow(0, name, status.st_size, status.st_mtime_ns, time.time_ns(), "", 0, "")
    if before is not None:
        if trust.passages and (trust.refusals or not before.reason):
            same = (before.size, before.modified) == (now.size, now.modified)
            if same and before.modified < before.seen - _RECENT:
                found.unchanged += 1
                return
            if before.size == now.size and before.hash and hash_file(path) == before.hash:
                found.unchanged += 1
                found.touched.append(before._replace(modified=now.modified, seen=now.seen))
                return
        found.old[name] = before.id
    found.rows[name] = now
    found.paths[name] = path


def _answers(found: _Found, limits: IndexLimits) -> Iterator[tuple[str, Part | Outcome]]:
    names = list(found.rows)
    jobs = [Job(number, found.paths[name], found.rows[name].size) for number, name in enumerate(names)]
    native = any(job.path.suffix.lower() in _NATIVE for job in jobs)
    apart = native or sum(job.size for job in jobs) > _FEW_BYTES
    answers: Iterator[Answer]
    if apart:
        answers = read_apart(jobs, limits.reading, limits.splitting, limits.readers)
    else:
        answers = read_here(jobs, limits.reading, limits.splitting)
    for number, answer in answers:
        yield names[number], answer


class _Writer:
    """Takes parts of files as they come and commits them, a segment at a time."""

    def __init__(self, store: Store, found: _Found) -> None:
        self._store = store
        self._found = found
        self._parts: list[tuple[str, Part]] = []
        self._ended: list[tuple[str, Outcome]] = []
        self._size = 0
        self._ids: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._done: set[str] = set()
        self.read = self.bytes = 0
        self.retried: list[tuple[str, str]] = []

    def take(self, path: str, answer: Part | Outcome) -> None:
        if isinstance(answer, Outcome):
            self._ended.append((path, answer))
            return
        self._parts.append((path, answer))
        self._size += sum(len(draft.text) for draft in answer.drafts)
        if self._size >= _SEGMENT_TEXT:
            self.commit()

    def is_full(self, disk: int) -> bool:
        return self._store.path.stat().st_size + 2 * self._size > disk

    def leave_out_the_rest(self, reason: str) -> None:
        ended = {path for path, _ in self._ended} | self._done
        self.retried += ((path, reason) for path in self._found.rows if path not in ended)

    def commit(self) -> None:
        """Files that ended replace their older versions in the same step that brings their passages."""
        store = self._store
        with store.writing():
            first = store.next_number()
            placed = [(self._id(path), self._place(path, part), part) for path, part in self._parts]
            if placed:
                store.add_passages(first, placed)
                store.add_segment(first, build([(file, part) for file, _, part in placed]))
            for path, outcome in self._ended:
                self._finish(path, outcome)
        self._parts, self._ended, self._size = [], [], 0

    def _id(self, path: str) -> int:
        """Of the new version, which stays out of sight under another name until it is whole."""
        if path not in self._ids:
            self._ids[path] = self._store.add_file(self._found.rows[path]._replace(path=f"\0{path}"))
        return self._ids[path]

    def _place(self, path: str, part: Part) -> int:
        number = self._numbers.get(path, 1)
        self._numbers[path] = number + len(part.drafts)
        return number

    def _finish(self, path: str, outcome: Outcome) -> None:
        self._done.add(path)
        if path in self._found.old:
            self._store.remove_file(self._found.old[path])
        if outcome.retry:
            self.retried.append((path, outcome.reason))
            if path in self._ids:
                self._store.remove_file(self._ids[path])
            return
        readable = path in self._ids
        row = self._found.rows[path]._replace(hash=outcome.hash, readable=int(readable), reason=outcome.reason)
        self._store.set_file(row._replace(id=self._id(path)))
        if readable:
            self.read += 1
            self.bytes += row.size


def _merge_small(store: Store) -> None:
    """Many small updates leave many small segments; neighbours become one when there are too many."""
    segments = store.segments()
    small = [segment for segment in segments if len(segment.lengths) < 20_000]
    if len(small) <= _MOST_SMALL_SEGMENTS:
        return
    tail = segments[segments.index(small[0]) :]
    alive = np.concatenate([segment.alive for segment in tail])
    merged = merge([(segment.first, store.arrays(segment)) for segment in tail], alive)
    with store.writing():
        store.remove_segments([segment.first for segment in tail])
        store.add_segment(tail[0].first, merged)
