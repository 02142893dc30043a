"""What a launcher told this process, and the words with which the user starts it again."""

from __future__ import annotations

import shlex

import pytest

from fourfold.launch import program

HERE = "torchrun --nproc-per-node 4 -m fourfold"
THERE = "torchrun --nnodes 2 --rdzv-backend c10d --rdzv-endpoint HOST:PORT --nproc-per-node 4 -m fourfold"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "fourfold"),
        ({"WORLD_SIZE": "4"}, HERE),
        ({"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}, HERE),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, THERE),
    ],
)
def test_it_is_started_again_as_it_was(monkeypatch, told, words):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert shlex.join(program()) == words
