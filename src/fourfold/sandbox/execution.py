"""`run_python`: one program, one process tree, bounded in everything, gone when it returns.

    caller ── launcher (namespaces) ── init (mounts; process 1 of its own) ── program

What holds a program in, and what does not, is argued in docs/decisions/017-sandbox.md.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fourfold.errors import UserError

LAUNCHER = Path(__file__).with_name("launcher.py")
INTERPRETER = os.path.realpath(sys.executable)
"""Behind any virtual environment: the standard library alone."""
GRACE = 2.0
"""Seconds beyond the wall-clock limit in which the launcher may start up and clean up."""
FULL = ("processes", "network", "files", "limits")
"""What can be in force: a process tree of its own, no network, no files but its own and the interpreter's, limits."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a program may take. Sizes in bytes, times in seconds; memory holds for each process."""

    seconds: float = 10.0
    """Wall-clock time, after which the whole process tree is killed."""
    cpu_seconds: int = 10
    memory: int = 512 * 2**20
    """Address space of one process: at most `processes` times as much in all."""
    file_size: int = 16 * 2**20
    """Of one file; all files together get four times as much."""
    processes: int = 4
    """Threads count too."""
    open_files: int = 64
    output: int = 64 * 1024
    """Bytes kept of stdout and of stderr each; the rest is read and dropped."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise UserError(f"the limit '{name}' is out of range", expected="more than 0", got=value)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a program ended."""

    stdout: str
    stderr: str
    exit: int | None
    """The exit code; minus the signal's number if a signal ended it; None if it was killed from outside."""
    timed_out: bool
    truncated: bool
    """Whether it wrote more than was kept."""
    seconds: float
    isolation: tuple[str, ...]
    """Which of "processes", "network", "files" and "limits" were in force."""
    weakness: str = ""
    """Why one of them was not; "" when all were."""

    @property
    def ok(self) -> bool:
        return self.exit == 0 and not self.timed_out

    @property
    def isolated(self) -> bool:
        return self.isolation == FULL


def run_python(code: str, stdin: str = "", limits: Limits | None = None) -> Execution:
    """Run a program with the standard library of this interpreter, in an empty folder, with an empty environment.

    Returns when nothing of it runs any more. Where the system allows no namespaces (some
    containers, macOS) limits alone hold it, and the result says so: look at `isolated`
    before you trust it with code you would not run yourself.
    """
    if os.name != "posix":
        raise UserError("programs of a model are run on Linux and macOS only", advice="Use WSL on Windows.")
    limits = limits or Limits()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fourfold-") as folder:
        place = Path(folder).resolve()
        (place / "program.py").write_text(code, "utf-8", errors="surrogatepass")
        read_status, write_status = os.pipe()
        with os.fdopen(read_status, "rb") as status:
            try:
                process = _started(place, limits, write_status)
            finally:
                os.close(write_status)
            kept, timed_out = _talk(process, stdin.encode("utf-8", "replace"), limits, began)
            report = _report(status.read())
    if "failed" in report:
        raise UserError(
            "a program cannot be run apart from yours here",
            got=report["failed"],
            advice="Run as a normal user, or use a Python that every user may read.",
        )
    return Execution(
        stdout=kept["stdout"][: limits.output].decode("utf-8", "replace"),
        stderr=kept["stderr"][: limits.output].decode("utf-8", "replace"),
        exit=None if timed_out else report.get("exit"),
        timed_out=timed_out,
        truncated=any(len(data) > limits.output for data in kept.values()),
        seconds=time.monotonic() - began,
        isolation=tuple(name for name in FULL if name in report.get("isolation", ())),
        weakness=str(report.get("weakness", "")),
    )


def _started(place: Path, limits: Limits, status: int) -> subprocess.Popen[bytes]:
    specification = json.dumps({"folder": str(place), "status": status, **vars(limits)})
    return subprocess.Popen(
        [INTERPRETER, "-I", "-S", "-B", str(LAUNCHER), specification],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=place,
        env={},
        pass_fds=(status,),
        start_new_session=True,
    )


def _talk(
    process: subprocess.Popen[bytes], data: bytes, limits: Limits, began: float
) -> tuple[dict[str, bytearray], bool]:
    """Feed and read the launcher until it ends; at the deadline it is told to end, and soon after, killed."""
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    deadline, told = began + limits.seconds + GRACE / 2, False
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with selectors.DefaultSelector() as selector:
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            selector.register(stream, selectors.EVENT_READ, name)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill() if told else process.terminate()
                deadline, told = deadline + GRACE, True
            for key, _ in selector.select(0.02 if len(selector.get_map()) == 0 else 0.1):
                data = _moved(selector, key, kept, data, limits.output)
        _kill_session(process.pid)
        while any(key.data != "stdin" for key in selector.get_map().values()):
            ready = [key for key, _ in selector.select(0) if key.data != "stdin"]
            if not ready:  # a process that left the session holds the pipe: what it says is not waited for
                break
            for key in ready:
                data = _moved(selector, key, kept, data, limits.output)
    for open_stream in (process.stdin, process.stdout, process.stderr):
        with suppress(BrokenPipeError):
            open_stream.close()
    return kept, told


def _moved(
    selector: selectors.BaseSelector, key: selectors.SelectorKey, kept: dict[str, bytearray], data: bytes, bound: int
) -> bytes:
    """Move bytes through one pipe that is ready; returns what is left for stdin."""
    if key.data == "stdin":
        with suppress(BlockingIOError):
            try:
                data = data[os.write(key.fd, data) :] if data else b""
            except BrokenPipeError:
                data = b""
        if not data:
            selector.unregister(key.fileobj)
            with suppress(BrokenPipeError):
                key.fileobj.close()  # type: ignore[union-attr]  # a pipe of Popen, never a bare descriptor
        return data
    piece = os.read(key.fd, 1 << 16)
    if not piece:
        selector.unregister(key.fileobj)
    elif len(kept[key.data]) <= bound:
        kept[key.data] += piece
    return data


def _kill_session(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _report(lines: bytes) -> dict[str, Any]:
    """What the launcher said: later lines add to earlier ones."""
    found: dict[str, Any] = {}
    for line in lines.decode().splitlines():
        found |= json.loads(line)
    return found
