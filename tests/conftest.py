"""What every test shares: threads that sleep while they wait, as the command line sets it; an ear for remarks;
processes that work together."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is loaded, so before any other import

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fourfold.progress import use_sink


@pytest.fixture
def remarks():
    """What the library said during the test."""

    class Ear:
        def __init__(self):
            self.heard = []

        def start(self, label, total, unit):
            return self

        def advance(self, amount=1, note=""):
            pass

        def stop(self, task):
            pass

        def say(self, text):
            self.heard.append(text)

    ear = Ear()
    with use_sink(ear):
        yield ear.heard


@pytest.fixture(scope="session")
def run_all():
    """`run_all(world, script, words…)`: so many processes, as a launcher starts them; exit codes and stderr."""

    def do(world, *words, seconds=150):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        shared |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        root = Path(__file__).parents[1]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "cwd": root}
        command = [sys.executable, *map(str, words)]
        processes = [
            subprocess.Popen(command, env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, **pipes)
            for rank in range(world)
        ]
        said = [process.communicate(timeout=seconds)[1] for process in processes]
        return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]

    return do
