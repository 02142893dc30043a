"""Counting by sorted runs on disk: the same tables as in memory, to the bit."""

import numpy as np
import pytest

from fourfold.errors import UserError
from fourfold.models.ngram import OnDisk, disk, train_word_ngram
from fourfold.models.ngram.counts import count_ngrams
from fourfold.models.ngram.disk import DiskStream, count_ngrams_on_disk


def written(folder, documents, bos, eos):
    stream = DiskStream(folder, bos, eos)
    for start in range(0, len(documents), 7):
        part = documents[start : start + 7]
        stream.append(np.concatenate(part), np.cumsum([len(document) for document in part]))
    return stream.read()


@pytest.mark.parametrize(("bos", "eos"), [(1, 2), (1, 1), (None, None)])
@pytest.mark.parametrize("positions", [40, 300, 100_000])
def test_tables_are_those_of_memory_to_the_bit(tmp_path, monkeypatch, bos, eos, positions):
    random = np.random.default_rng(positions)
    documents = [random.zipf(1.5, random.integers(0, 60)).clip(3, 50).astype(np.int32) for _ in range(60)]
    monkeypatch.setattr(disk, "LEAST_MEMORY", 1)
    stream = written(tmp_path, documents, bos, eos)
    wanted = count_ngrams(stream, 5, 51, bos, eos)
    found = count_ngrams_on_disk(stream, 5, 51, bos, eos, tmp_path, positions * disk.BYTES_A_POSITION)
    for one, other in zip(found.orders, wanted.orders, strict=True):
        for name in ("words", "prefixes", "suffixes", "counts", "continuations"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
            assert getattr(one, name).dtype == getattr(other, name).dtype
    assert not list(tmp_path.glob("run-*"))


def test_too_little_memory_is_refused(tmp_path):
    stream = written(tmp_path, [np.array([3, 4], np.int32)], 1, 2)
    with pytest.raises(UserError, match="too little memory to count with, expected at least 16,000,000 bytes"):
        count_ngrams_on_disk(stream, 2, 5, 1, 2, tmp_path, 1000)


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_a_model_counted_on_disk_is_the_same_model(tmp_path, unit):
    text = tmp_path / "text.txt"
    random = np.random.default_rng(1)
    lines = (" ".join(f"w{number}" for number in random.zipf(1.4, 12).clip(0, 200)) for _ in range(400))
    text.write_text("<s> marked </s>\n" + "\n".join(lines), "utf-8")
    wanted, words = train_word_ngram([text], 4, unit=unit, min_count=2, prune=(0, 0, 1))
    on_disk = OnDisk(memory=disk.LEAST_MEMORY, folder=tmp_path)
    found, other_words = train_word_ngram([text], 4, unit=unit, min_count=2, prune=(0, 0, 1), on_disk=on_disk)
    assert found.config == wanted.config
    assert other_words.words == words.words
    assert all(isinstance(array, np.memmap) for array in found.trie[:5])  # smoothing kept to files as well
    for name, one, other in zip(found.trie._fields, found.trie, wanted.trie, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_what_learns_in_memory_is_refused(tmp_path):
    with pytest.raises(UserError, match="jelinek-mercer learns its weights from a text in memory"):
        train_word_ngram([], 2, "jelinek-mercer", on_disk=OnDisk(memory=10**9, folder=tmp_path))
