"""Chat templates in a process of their own, which has little memory and is ended when it takes too long.

Jinja's sandbox keeps a template from reaching the interpreter; it does not keep it from looping or from growing a
string without end. So the process that renders may be killed: the next conversation starts another.

    server ── {"template", "messages", …} a line ──► the process ── {"text"} or {"error"} a line ──► server
"""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fourfold.errors import UserError
from fourfold.tokenizers.templates import Tools, render

MOST_OUTPUT = 64 * 2**20
CHUNK = 1 << 16


class RenderingProcess:
    """A `TemplateRenderer` with a limit of seconds and of memory. One conversation at a time; thread safe."""

    def __init__(self, seconds: float, memory: int) -> None:
        self.seconds, self.memory = seconds, memory
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(
        self,
        template: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool,
        tokens: Mapping[str, str],
        tools: Tools | None = None,
    ) -> str:
        values = {"template": template, "messages": messages, "generation_prompt": generation_prompt,
                  "tokens": tokens, "tools": tools}  # fmt: skip
        with self._lock:
            answer = self._ask(json.dumps(values).encode() + b"\n")
        if "error" in answer:
            raise UserError(answer["error"].rstrip("."))
        return str(answer["text"])

    def start(self) -> None:
        """Be ready before the first conversation."""
        with self._lock:
            self._running()

    def close(self) -> None:
        with self._lock:
            self._end()

    def _ask(self, line: bytes) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        # A line that fills the pipe is written while the process reads; both ends are bounded by the deadline.
        writer = threading.Thread(target=_write, args=(process.stdin, line), daemon=True)
        writer.start()
        found = self._line(process, time.monotonic() + self.seconds)
        if found is None:
            self._end()
            raise UserError(
                "the chat template took too much time or memory on these messages",
                expected=f"at most {self.seconds:g} s and {self.memory // 2**20} MiB",
            )
        answer: dict[str, Any] = json.loads(found)
        return answer

    def _line(self, process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
        """What the process answers; None: it died, or is late, or never ends."""
        assert process.stdout is not None
        parts: list[bytes] = []
        size = 0
        while (left := deadline - time.monotonic()) > 0 and size <= MOST_OUTPUT:
            if not select.select([process.stdout], [], [], left)[0]:
                return None
            part = os.read(process.stdout.fileno(), CHUNK)
            if not part:
                return None
            parts.append(part)
            size += len(part)
            if part.endswith(b"\n"):
                return b"".join(parts)
        return None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            words = [sys.executable, "-c", f"from {__name__} import serve; serve({self.memory})"]
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
                env=_environment(), start_new_session=True,
            )  # fmt: skip
            ready = self._line(self._process, time.monotonic() + 30)
            if ready is None:
                raise RuntimeError("the process for chat templates did not start")
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None


def _write(pipe: Any, line: bytes) -> None:
    view = memoryview(line)
    try:
        while view:
            view = view[pipe.write(view) :]
    except (OSError, ValueError):  # the process was ended meanwhile
        pass


def _environment() -> dict[str, str]:
    """What Python needs, and none of the secrets a server's environment may hold."""
    kept = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LC_ALL", "SYSTEMROOT", "TZ")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _rendered(line: bytes) -> dict[str, str]:
    try:
        values = json.loads(line)
        template, messages = values.pop("template"), values.pop("messages")
        return {"text": render(template, messages, **values)}
    except UserError as error:
        return {"error": str(error)}
    except MemoryError:
        raise
    except Exception as error:  # a template may raise anything; it is the reason this process exists
        return {"error": f"the chat template failed on these messages ({type(error).__name__}: {error})"}


def serve(memory: int) -> None:
    """What the process does until its input ends: a conversation a line in, its text a line out."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    out = sys.stdout.buffer
    out.write(b"{}\n")
    out.flush()
    for line in sys.stdin.buffer:
        out.write(json.dumps(_rendered(line)).encode() + b"\n")
        out.flush()
