from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from fourfold.errors import UserError
from fourfold.models.vectors import StaticVectors, files, read_vectors, write_vectors

ENDINGS = ("v.txt", "v.vec", "v.bin", "v.txt.gz", "v.bin.gz")


@pytest.mark.parametrize("name", ENDINGS)
def test_round_trip_to_the_bit(made: StaticVectors, tmp_path: Path, name: str) -> None:
    write_vectors(made, tmp_path / name)
    back = read_vectors(tmp_path / name)
    assert back.words == made.words
    np.testing.assert_array_equal(back.matrix, made.matrix)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ENDINGS)
def test_gensim_reads_ours_and_we_read_gensims(made: StaticVectors, tmp_path: Path, name: str) -> None:
    gensim = pytest.importorskip("gensim.models")
    write_vectors(made, tmp_path / name)
    binary = ".bin" in name
    theirs = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / name), binary=binary)
    assert theirs.index_to_key == made.words
    np.testing.assert_array_equal(theirs.vectors, made.matrix)
    theirs.save_word2vec_format(str(tmp_path / f"g{name}"), binary=binary)
    back = read_vectors(tmp_path / f"g{name}")
    assert back.words == made.words
    np.testing.assert_array_equal(back.matrix, made.matrix)


def test_what_other_programs_write(tmp_path: Path) -> None:
    """The authors' program ends text rows by a space; a word may hold a space in fastText's files; small blocks."""
    (tmp_path / "a.txt").write_bytes(b"2 2\nnew york 0.5 -1 \nb 1e-3 2 \n")
    assert read_vectors(tmp_path / "a.txt").words == ["new york", "b"]
    row = np.array([1, 2], "<f4").tobytes()
    (tmp_path / "a.bin").write_bytes(b"2 2\n" + b"a " + row + b"\nb " + row)
    assert read_vectors(tmp_path / "a.bin").matrix.tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_cut_binary_rows_anywhere(
    made: StaticVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    write_vectors(made, tmp_path / "v.bin")
    monkeypatch.setattr(files, "LOOK", max(block, 1024))  # the first look needs a row
    assert read_vectors(tmp_path / "v.bin").words == made.words


ROW = np.array([1, 2], "<f4").tobytes()
BROKEN = {
    "empty": (b"", "not a word2vec file"),
    "no header": (b"the 0.1 0.2\n", "not a word2vec file"),
    "header of three": (b"2 2 2\na 1 2\nb 1 2\n", "not a word2vec file"),
    "no words": (b"0 2\n", "impossible sizes"),
    "too large": (b"999999 300\na 1 2\n", "more numbers than the file can hold"),
    "too few lines": (b"3 2\na 1 2\nb 1 2\n", "ends too early, expected 3 words of 2 numbers, got 2 words"),
    "too many lines": (b"1 2\na 1 2\nb 1 2\n", "more lines than the first line says"),
    "too few numbers": (b"2 2\na 1 2\nb 1\n", r":3: not a word and its numbers, expected 2 numbers, got 1"),
    "no number": (b"2 2\na 1 2\nb 1 x\n", "not a number"),
    "infinite": (b"2 2\na 1 2\nb 1 nan\n", "a number that is none, got the word 'b'"),
    "twice": (b"2 2\na 1 2\na 1 3\n", "a word has two vectors, got 'a'"),
    "not UTF-8": (b"1 2\n\xff 1 2\n", "a word that is not UTF-8"),
    "binary cut": (b"2 2\na " + ROW + b"\nb " + ROW[:5], "ends too early"),
    "binary too long": (b"1 2\na " + ROW + b"\nb " + ROW, "more bytes than the first line says"),
    "gzip cut": (gzip.compress(b"2 2\na 1 2\nb 1 2\n")[:-12], "cannot be read to its end"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    content, sentence = BROKEN[name]
    path = tmp_path / ("v.txt.gz" if "gzip" in name else "v.txt")
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        read_vectors(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_part_of_a_file_is_left(tmp_path: Path) -> None:
    vectors = StaticVectors(["a", "b c"], np.zeros((2, 2), np.float32))
    with pytest.raises(UserError, match="white space"):
        write_vectors(vectors, tmp_path / "v.txt")
    with pytest.raises(UserError, match="does not say which format"):
        write_vectors(vectors, tmp_path / "v")
    assert not list(tmp_path.iterdir())
