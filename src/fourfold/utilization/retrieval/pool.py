"""Reading many files, in processes of their own: a file that crashes its reader or holds it up costs only itself.

A reader is not trusted, since it parses what may have been made to break it: it answers in JSON and plain numbers,
within a bound on its memory, and is ended when it is silent too long. On Linux it is a fork: it starts at once, where
a fresh interpreter would import for seconds, and touches nothing that the parent's other threads may hold.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fourfold.kernels import TermCounts
from fourfold.pretraining.corpus.formats import ReadingLimits
from fourfold.utilization.retrieval.documents import Outcome, Part, read_passages
from fourfold.utilization.retrieval.passages import Draft, Splitting
from fourfold.utilization.retrieval.terms import count_terms_of

_TASK_BYTES = 4 * 2**20
_TASK_FILES = 64
_FORKS = sys.platform == "linux"
_START_SECONDS = 120.0
"""What a fresh interpreter may need before its first word."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True, kw_only=True)
class ReaderLimits:
    """What a reader process may use."""

    processes: int = field(default_factory=lambda: min(os.cpu_count() or 1, 4))
    memory: int = 2 * 2**30
    """Bytes each."""
    seconds: float = 60.0
    """Without a word; then the file is given up."""


class Job(NamedTuple):
    number: int
    path: Path
    size: int


Answer = tuple[int, Part | Outcome]
"""The job's number, with a part of its file or, last, how it ended."""


def read_here(jobs: Sequence[Job], limits: ReadingLimits, splitting: Splitting) -> Iterator[Answer]:
    for job in jobs:
        for found in read_passages(job.path, limits, splitting):
            yield job.number, found


def read_apart(
    jobs: Sequence[Job], limits: ReadingLimits, splitting: Splitting, readers: ReaderLimits
) -> Iterator[Answer]:
    """The same answers in any order of files; those of one file keep theirs."""
    count_terms_of([""])  # compiled and its table made before the fork, not in each reader
    waiting = deque(_tasks(jobs))
    working: dict[Connection, _Reader] = {}
    try:
        while waiting or working:
            while waiting and len(working) < readers.processes:
                reader = _Reader(limits, splitting, readers.memory)
                reader.take(waiting.popleft())
                working[reader.answers] = reader
            silent = min(reader.deadline(readers.seconds) for reader in working.values())
            for answers in wait(list(working), max(silent - time.monotonic(), 0.0)):
                reader = working[answers]  # type: ignore[index]  # wait returns what it was given
                try:
                    yield reader.answer()
                except (EOFError, OSError, ValueError, TypeError):  # it broke off, or talks nonsense
                    yield reader.give_up("its reader crashed")
                if not reader.left:
                    if waiting and reader.sound:
                        reader.take(waiting.popleft())
                        continue
                    del working[reader.answers]
                    reader.end()
                elif not reader.sound:
                    _replace(reader, working, waiting)
            for reader in [one for one in working.values() if one.deadline(readers.seconds) <= time.monotonic()]:
                yield reader.give_up(f"took longer than {readers.seconds:.0f} s")
                _replace(reader, working, waiting)
    finally:
        for reader in working.values():
            reader.end()


def _replace(reader: _Reader, working: dict[Connection, _Reader], waiting: deque[list[Job]]) -> None:
    """End a reader that is no use any more; what it had left goes to another."""
    del working[reader.answers]
    reader.end()
    if reader.left:
        waiting.appendleft(list(reader.left))


def _tasks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Small files go together, so that asking costs little beside reading."""
    task: list[Job] = []
    size = 0
    for job in jobs:
        if task and (size + job.size > _TASK_BYTES or len(task) == _TASK_FILES):
            yield task
            task, size = [], 0
        task.append(job)
        size += job.size
    if task:
        yield task


class _Reader:
    """A reader process and the files it has been given."""

    def __init__(self, limits: ReadingLimits, splitting: Splitting, memory: int) -> None:
        start = multiprocessing.get_context("fork") if _FORKS else multiprocessing.get_context("spawn")
        self.answers, theirs = start.Pipe()
        self._process = start.Process(target=_serve, args=(theirs, limits, splitting, memory), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: see above
            self._process.start()
        theirs.close()
        self.left: deque[Job] = deque()
        self.sound = True
        self._heard = time.monotonic() + (0.0 if _FORKS else _START_SECONDS)

    def take(self, task: list[Job]) -> None:
        self.left.extend(task)
        self._heard = max(self._heard, time.monotonic())
        with suppress(OSError):
            self.answers.send_bytes(json.dumps([os.fspath(job.path) for job in task]).encode())

    def deadline(self, seconds: float) -> float:
        return self._heard + seconds

    def answer(self) -> Answer:
        kind, value = json.loads(self.answers.recv_bytes())
        self._heard = time.monotonic()
        if kind == "outcome":
            return self.left.popleft().number, Outcome(*value)
        terms = TermCounts(
            np.frombuffer(self.answers.recv_bytes(), np.uint64),
            np.frombuffer(self.answers.recv_bytes(), np.uint16),
            np.frombuffer(self.answers.recv_bytes(), np.int64),
            np.frombuffer(self.answers.recv_bytes(), np.int32),
        )
        return self.left[0].number, Part([Draft(*draft) for draft in value], terms)

    def give_up(self, reason: str) -> Answer:
        self.sound = False
        return self.left.popleft().number, Outcome("", reason)

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self.answers.close()


def _serve(parent: Connection, limits: ReadingLimits, splitting: Splitting, memory: int) -> None:
    """What a reader process does: take tasks until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    _bound(memory)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)  # what a library prints may quote the file
    with suppress(EOFError, OSError):
        while True:
            for path in json.loads(parent.recv_bytes()):
                for found in read_passages(Path(path), limits, splitting):
                    _send(parent, found)


def _bound(memory: int) -> None:
    """Bound what this process takes beyond what it has, and end it when its parent ends, where the system can."""
    if sys.platform == "linux":
        import resource  # there is none on Windows

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        held = int(Path("/proc/self/statm").read_text("ascii").split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (held + memory, held + memory))


def _send(parent: Connection, found: Part | Outcome) -> None:
    kind = "part" if isinstance(found, Part) else "outcome"
    value = found.drafts if isinstance(found, Part) else found
    parent.send_bytes(json.dumps([kind, value]).encode())
    if isinstance(found, Part):
        for array in found.terms:
            parent.send_bytes(array.tobytes())
