"""Reading many files, in processes of their own: a file that crashes its reader or holds it up costs only itself.

A reader is not trusted, since it has parsed what may have been made to break it: it answers in JSON and plain numbers,
within a bound on its memory, and is ended when it is silent too long. Where the system has no pipes that `Connection`
can wrap (Windows), and for a few plain texts, files are read in this process, by the same function.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fourfold.kernels import TermCounts
from fourfold.pretraining.corpus.formats import ReadingLimits
from fourfold.utilization.retrieval.documents import Outcome, Part, read_passages
from fourfold.utilization.retrieval.passages import Draft, Splitting

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_TASK_BYTES = 4 * 2**20
_TASK_FILES = 64
_TYPES = (np.uint64, np.uint16, np.int64, np.int32)
_START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class ReaderLimits:
    """What a reader process may use."""

    processes: int = 2
    memory: int = 2 * 2**30
    """Bytes each."""
    seconds: float = 60.0
    """Without a word; then the file is given up."""


class Job(NamedTuple):
    index: int
    path: Path
    size: int


Answer = tuple[int, Part | Outcome]
"""The job's index, with a part of its file or, last, how it ended."""


def read_here(jobs: Sequence[Job], limits: ReadingLimits, splitting: Splitting) -> Iterator[Answer]:
    for job in jobs:
        for found in read_passages(job.path, limits, splitting):
            yield job.index, found


def can_start_readers() -> bool:
    return os.name == "posix"


def read_apart(
    jobs: Sequence[Job], limits: ReadingLimits, splitting: Splitting, readers: ReaderLimits
) -> Iterator[Answer]:
    """The same answers in any order of files; those of one file keep theirs."""
    from multiprocessing.connection import wait

    waiting = deque(_tasks(jobs))
    options = json.dumps([asdict(limits), asdict(splitting), readers.memory])
    working: dict[Connection, _Reader] = {}
    try:
        while waiting or working:
            while waiting and len(working) < readers.processes:
                reader = _Reader(options, waiting.popleft())
                working[reader.answers] = reader
            silent = min(reader.deadline(readers.seconds) for reader in working.values())
            for answers in wait(list(working), max(silent - time.monotonic(), 0.0)):
                reader = working[answers]  # type: ignore[index]  # wait returns what it was given
                try:
                    yield reader.answer()
                except (EOFError, OSError):
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

    def __init__(self, options: str, task: list[Job]) -> None:
        from multiprocessing.connection import Connection

        code = "from fourfold.utilization.retrieval.pool import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._orders = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self.answers = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._process.stdin.close()
        self._process.stdout.close()
        self.left: deque[Job] = deque()
        self.sound = True
        self._heard = time.monotonic() + _START_SECONDS
        with suppress(OSError):  # it ended at once: the answer will tell
            self._orders.send_bytes(options.encode())
        self.take(task)

    def take(self, task: list[Job]) -> None:
        self.left.extend(task)
        self._heard = max(self._heard, time.monotonic())
        with suppress(OSError):
            self._orders.send_bytes(json.dumps([[job.index, os.fspath(job.path)] for job in task]).encode())

    def deadline(self, seconds: float) -> float:
        return self._heard + seconds

    def answer(self) -> Answer:
        index, kind, value = json.loads(self.answers.recv_bytes())
        self._heard = time.monotonic()
        if kind == "outcome":
            self.left.popleft()
            return index, Outcome(*value)
        arrays = (np.frombuffer(self.answers.recv_bytes(), kind) for kind in _TYPES)
        return index, Part([Draft(*draft) for draft in value], TermCounts(*arrays))

    def give_up(self, reason: str) -> Answer:
        self.sound = False
        return self.left.popleft().index, Outcome("", reason)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._orders.close()
        self.answers.close()


def serve() -> None:
    """What a reader process does: take tasks from its input until that ends."""
    from multiprocessing.connection import Connection

    orders, answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # what a library prints is no answer
    limits, splitting, memory = json.loads(orders.recv_bytes())
    limit_memory(memory)
    with suppress(EOFError):
        while True:
            jobs = [Job(index, Path(path), 0) for index, path in json.loads(orders.recv_bytes())]
            for index, found in read_here(jobs, ReadingLimits(**limits), Splitting(**splitting)):
                _send(answers, index, found)


def limit_memory(size: int) -> None:
    """Bound this process's own memory, where the system can."""
    if sys.platform != "win32":
        import resource

        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _send(answers: Connection, index: int, found: Part | Outcome) -> None:
    kind = "part" if isinstance(found, Part) else "outcome"
    value = found.drafts if isinstance(found, Part) else found
    answers.send_bytes(json.dumps([index, kind, value]).encode())
    if isinstance(found, Part):
        for array, kind_of_number in zip(found.terms, _TYPES, strict=True):
            answers.send_bytes(np.ascontiguousarray(array, kind_of_number).tobytes())
