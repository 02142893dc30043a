"""`fourfold serve` as a process: it drains at SIGTERM, and after SIGKILL the next one starts on the same port."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from tests.serving.doubles import small, until  # noqa: E402

SECONDS_TO_START = 30
"""Far more than the five that docs/reliability.md tells of a quiet machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "tiny"
    small("llama", context=2048).save(place)
    return place


@contextmanager
def process(*words: str | Path) -> Iterator[tuple[Any, str]]:
    """A server that answers, and its address."""
    command = [sys.executable, "-m", "fourfold", "serve", *map(str, words)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
    try:
        address = _address(running)
        until(lambda: _healthy(address), SECONDS_TO_START)
        yield running, address
    finally:
        running.kill()
        running.communicate()


def _address(running: Any) -> str:
    text, deadline = "", time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if select.select([running.stderr], [], [], 0.1)[0]:
            text += os.read(running.stderr.fileno(), 4096).decode()
        if found := re.search(r"Serving .* at (http://[^/]+)/v1", text):
            return found[1]
        assert running.poll() is None, text
    raise AssertionError(f"the server did not start: {text}")


def _healthy(address: str) -> bool:
    try:
        return bool(httpx.get(f"{address}/health").status_code == 200)
    except httpx.TransportError:
        return False


def test_sigterm_lets_open_answers_end_and_nobody_in(folder: Path) -> None:
    body = {"prompt": "a", "max_tokens": 400, "stream": True, "logit_bias": {"257": -100}}
    with process(folder, "--port", "0") as (running, address), httpx.Client(base_url=address, timeout=30) as client:
        with client.stream("POST", "/v1/completions", json=body) as response:
            lines = response.iter_lines()
            next(lines)
            running.send_signal(signal.SIGTERM)
            until(lambda: httpx.get(f"{address}/health").status_code == 503)
            refused = httpx.post(f"{address}/v1/completions", json={"prompt": "b"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
            left = [line for line in lines if line]
            assert left[-1] == "data: [DONE]"
            assert '"finish_reason":"length"' in left[-2]
        assert running.wait(10) == 0


def test_a_drain_ends_in_time(folder: Path) -> None:
    body = {"prompt": "a", "max_tokens": 2000, "stream": True, "logit_bias": {"257": -100}}
    with process(folder, "--port", "0", "--drain", "0.2") as (running, address):
        with httpx.stream("POST", f"{address}/v1/completions", json=body, timeout=30) as response:
            lines = response.iter_lines()
            next(lines)
            begin = time.monotonic()
            running.send_signal(signal.SIGTERM)
            assert any("shutting_down" in line for line in lines)
        assert running.wait(10) == 0
        assert time.monotonic() - begin < 5


def test_sigkill_and_again_on_the_same_port(folder: Path) -> None:
    with process(folder, "--port", "0") as (running, address):
        httpx.post(
            f"{address}/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
        )
        running.kill()
        running.wait()
        with process(folder, "--port", address.rpartition(":")[2]) as (_, again):
            assert again == address
            assert httpx.post(f"{again}/v1/completions", json={"prompt": "a", "max_tokens": 3}).status_code == 200


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--host", "0.0.0.0"], "needs a key"),
        (["--adapter", "x=nowhere"], "no adapter here"),
        (["--adapter", "nonsense"], "NAME=FOLDER"),
        (["--keys", "nowhere.txt"], "nowhere.txt"),
        (["--embeddings", "nowhere/at-all"], "no such model"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(folder: Path, words: list[str], reason: str) -> None:
    command = [sys.executable, "-m", "fourfold", "serve", str(folder), "--port", "0", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr
