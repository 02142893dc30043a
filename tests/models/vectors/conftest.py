"""A little language in which words mean something: who rules and who lives where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fourfold.models.vectors import StaticVectors

GROUPS = (("cat", "dog", "cow"), ("red", "blue", "green"), ("one", "two", "three"), ("run", "walk", "swim"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 sentences; words of a group stand in the same places, beside words that only their group has."""
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("corpus") / "groups.txt"
    lines = []
    for _ in range(600):
        number = random.integers(len(GROUPS))
        words = [f"{side}{number}{random.integers(4)}" for side in "abcd"]
        lines.append(" ".join([*words[:2], str(random.choice(GROUPS[number])), *words[2:]]))
    path.write_text("\n".join(lines) + "\nonce\n", "utf-8")
    return path


@pytest.fixture
def made() -> StaticVectors:
    """60 words with random vectors, some in capitals, one of them long."""
    random = np.random.default_rng(2)
    words = [*(f"w{number}" for number in range(55)), "Paris", "paris", "学", "naïve", "x" * 200]
    return StaticVectors(words, random.normal(0, 1, (60, 12)).astype(np.float32))
