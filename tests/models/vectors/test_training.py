from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from fourfold.errors import UserError
from fourfold.models.vectors import (
    StaticVectors,
    Training,
    VectorsConfig,
    read_sentences,
    train_vectors,
    training,
    without_rare,
)

GROUPS = (("cat", "dog", "cow"), ("red", "blue", "green"), ("one", "two", "three"), ("run", "walk", "swim"))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("output", ["negative-sampling", "hierarchical-softmax"])
@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
def test_words_of_a_kind_come_together(corpus: Path, architecture: str, output: str, threads: int) -> None:
    sentences = without_rare(read_sentences([corpus]), 5)
    config = VectorsConfig(architecture=architecture, output=output, size=20, epochs=30, sample=0, rate=0.05)
    state = Training.start(config, sentences)
    for _ in train_vectors(state, sentences, threads=threads):
        pass
    vectors = StaticVectors(sentences.words, state.matrix)
    for group in GROUPS:
        among = [word for word, _ in vectors.nearest(group[0], 60) if word.isalpha()]
        assert set(among[:2]) == set(group[1:])


def test_equal_seeds_give_equal_vectors_and_a_stop_changes_nothing(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHUNK_WORDS", 100)
    monkeypatch.setattr(training, "ROUND_CHUNKS", 7)
    sentences = without_rare(read_sentences([corpus]), 1)
    config = VectorsConfig(size=8, epochs=3)

    def fresh(**changes: int) -> Training:
        return Training.start(VectorsConfig(**{"size": 8, "epochs": 3, **changes}), sentences)

    whole = fresh()
    rounds = list(train_vectors(whole, sentences))
    assert sum(one.words for one in rounds) == 3 * len(sentences.tokens) == whole.words(sentences)
    assert [one.rate for one in rounds] == sorted((one.rate for one in rounds), reverse=True)
    first = fresh()
    for _ in itertools.islice(train_vectors(first, sentences), 4):
        pass
    first.save(tmp_path / "state")
    second = fresh()
    assert second.restore(tmp_path / "state")
    assert second.words_done(sentences) == sum(one.words for one in rounds[:4])
    assert config == second.config
    for _ in train_vectors(second, sentences):
        pass
    np.testing.assert_array_equal(second.matrix, whole.matrix)
    other = fresh(seed=2)
    assert not other.restore(tmp_path / "state")
    assert not np.array_equal(other.matrix, fresh().matrix)
    (tmp_path / "state").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="not an unfinished training"):
        second.restore(tmp_path / "state")


def test_long_sentences_are_cut_and_rare_words_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHUNK_WORDS", 10)
    path = tmp_path / "long.txt"
    path.write_text("a b c " * 50 + "rare\n\na b\n", "utf-8")
    sentences = without_rare(read_sentences([path]), 2)
    assert (sentences.words, sentences.counts.tolist()) == (["a", "b", "c"], [51, 51, 50])
    assert sentences.ends.tolist() == [150, 152]
    state = Training.start(VectorsConfig(size=4, epochs=2, sample=0), sentences)
    rounds = list(train_vectors(state, sentences))
    assert sum(one.kept for one in rounds) == sum(one.words for one in rounds) == 2 * 152
    with pytest.raises(UserError, match="too few words to train on"):
        without_rare(sentences, 52)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("words", ["Don't", "stop!", "学而", "时习"]),
        ("simple-words", ["don't", "stop", "学而", "时习"]),
        ("characters", [*"Don'tstop!学而时习"]),
    ],
)
def test_units(tmp_path: Path, unit: str, expected: list[str]) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Don't stop!\n学而 时习\n", "utf-8")
    sentences = read_sentences([path], unit=unit)
    assert [sentences.words[token] for token in sentences.tokens] == expected
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=r"text\.txt: not UTF-8 text, got b'\\xe9'"):
        read_sentences([path], unit=unit)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"window": 2000}, {"sample": 1.0}, {"rate": 1e-9}, {"seed": -1}])
def test_options_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="out of range"):
        VectorsConfig(**wrong)
