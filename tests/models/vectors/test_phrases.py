from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fourfold.models.vectors import join_phrases, phrase_scores, read_sentences


def joined(path: Path, thresholds: list[float], discount: float) -> list[list[str]]:
    sentences = join_phrases(read_sentences([path]), thresholds, discount)
    words = [sentences.words[token] for token in sentences.tokens]
    return [list(part) for part in np.split(np.array(words, object), sentences.ends[:-1])]


def test_left_to_right_without_overlap_and_in_passes(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("go go go go\nnew york city\nnew york city\nnew\nyork x\n", "utf-8")
    once = joined(path, [0.5], 1)
    assert once == [["go_go", "go_go"], ["new_york", "city"], ["new_york", "city"], ["new"], ["york", "x"]]
    assert joined(path, [0.5, 0.5], 1)[1:3] == [["new_york_city"]] * 2
    assert phrase_scores(*(np.array([n]) for n in (8, 10, 20)), 1000, 5).tolist() == [15.0]


def test_gensim_joins_the_same(tmp_path: Path) -> None:
    phrases = pytest.importorskip("gensim.models.phrases")
    random = np.random.default_rng(0)
    lines = [[f"w{int(30 * value**2)}" for value in random.random(random.integers(1, 15))] for _ in range(800)]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(map(" ".join, lines)), "utf-8")
    total, kinds = sum(map(len, lines)), len({word for line in lines for word in line})
    threshold = 1.02
    # gensim multiplies by the number of kinds where the authors' program has the number of words; and it keeps
    # pairs above one threshold, as we do.
    theirs = phrases.Phrases(lines, min_count=5, threshold=threshold * (kinds + pairs_of(lines)) / total, delimiter="_")
    expected = [list(theirs[line]) for line in lines]
    assert any("_" in word for line in expected for word in line)
    assert joined(path, [threshold], 5) == expected


def pairs_of(lines: list[list[str]]) -> int:
    """gensim's number of kinds counts the pairs it saw too."""
    return len({pair for line in lines for pair in pairwise(line)})
