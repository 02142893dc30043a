"""A client that costs little: streamed completions over bare sockets, with the time of every piece."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.request import ProxyHandler, build_opener


@dataclass
class Answer:
    """One streamed answer as its client saw it."""

    status: int = 0
    text: str = ""
    times: list[float] = field(default_factory=list)
    """Of each piece, in seconds since the request was sent."""
    error: str = ""
    complete: bool = False


async def ask(address: str, path: str, body: dict[str, Any], *, leave_after: int | None = None) -> Answer:
    """Send one streamed request; hang up after `leave_after` pieces."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    raw = json.dumps(body | {"stream": True}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    begin = time.perf_counter()
    writer.write(f"{head}Content-Length: {len(raw)}\r\nConnection: close\r\n\r\n".encode() + raw)
    answer = Answer()
    try:
        answer.status = int((await reader.readline()).split()[1])
        while True:
            line = await reader.readline()
            if not line:
                break
            if not line.startswith(b"data:"):
                if answer.status != 200 and line.startswith(b"{"):
                    answer.error = line.decode()
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                answer.complete = True
                break
            take(answer, json.loads(data), time.perf_counter() - begin)
            if leave_after is not None and len(answer.times) >= leave_after:
                break
    finally:
        writer.close()
    return answer


def take(answer: Answer, event: dict[str, Any], seconds: float) -> None:
    if "error" in event:
        answer.error = json.dumps(event["error"])
        return
    for choice in event.get("choices", ()):
        if piece := choice.get("text") or choice.get("delta", {}).get("content"):
            answer.text += piece
            answer.times.append(seconds)


def get(address: str, path: str) -> str:
    with build_opener(ProxyHandler({})).open(f"{address}{path}", timeout=30) as response:
        return str(response.read().decode())


def metric(address: str, name: str) -> float:
    """One number of our /metrics."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", get(address, "/metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


@contextmanager
def started(words: list[str], pattern: str, log: str = os.devnull) -> Iterator[tuple[str, int]]:
    """A server process: its address as `pattern` finds it in what it says, and its id. Ready when /health is 200."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    with open(log, "wb") as file:
        try:
            address = _address(process, pattern)
            _drain(process, file)
            _wait(process, address)
            yield address, process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: Any, pattern: str) -> str:
    text, deadline = "", time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([process.stdout], [], [], 0.2)[0]:
            text += os.read(process.stdout.fileno(), 65536).decode(errors="replace")
        if found := re.search(pattern, text):
            return found[1]
    raise SystemExit(f"the server did not start:\n{text}")


def _drain(process: Any, file: Any) -> None:
    """Keep reading what it says, so that it never waits for us."""
    import threading

    def copy() -> None:
        while part := os.read(process.stdout.fileno(), 65536):
            file.write(part)

    threading.Thread(target=copy, daemon=True).start()


def _wait(process: Any, address: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            get(address, "/health")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server did not become ready")


def share(values: list[float], part: float) -> float:
    """The value below which this part of the values is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
