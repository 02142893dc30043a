"""Starts several processes of one script and waits for all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def environment(rank: int, world: int, port: int) -> dict[str, str]:
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"} | {k: str(v) for k, v in own.items()}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="session")
def start():
    """`start(world, words)`: the processes of `python WORDS`, as a launcher starts them."""

    def do(world: int, *words: object) -> list[subprocess.Popen[str]]:
        port = free_port()
        command = [sys.executable, *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return [subprocess.Popen(command, env=environment(rank, world, port), **pipes) for rank in range(world)]

    return do


@pytest.fixture(scope="session")
def run_all(start):
    """The same, waited for: exit codes and what was said on stderr."""

    def do(world: int, *words: object, seconds: float = 120) -> list[tuple[int, str]]:
        processes = start(world, *words)
        said = [process.communicate(timeout=seconds)[1] for process in processes]
        return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]

    return do


@pytest.fixture(scope="session")
def here() -> Path:
    return Path(__file__).parent
