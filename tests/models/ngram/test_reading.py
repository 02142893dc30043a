"""Several threads read what one reads."""

import numpy as np
import pytest

from fourfold.kernels import WordIndex
from fourfold.models.ngram import WordTokenizer, reading
from fourfold.models.ngram.word_files import LIST, TABLE, load_words, save_table

MARKS = [b"<unk>", b"<s>", b"</s>"]


def written(folder, sizes, end="\n"):
    random = np.random.default_rng(sum(sizes))
    paths = []
    for number, size in enumerate(sizes):
        lines = (" ".join(f"w{word}" for word in random.zipf(1.2, random.integers(0, 12)) % 5000) for _ in range(size))
        paths.append(folder / f"{number}.txt")
        paths[-1].write_text("\n".join(lines) + end, "utf-8")
    return paths


@pytest.mark.parametrize("characters", [False, True])
@pytest.mark.parametrize("sizes", [[300], [1, 200, 0, 90], [0]])
@pytest.mark.parametrize("end", ["\n", "", " <s> x"])
def test_ids_are_those_of_one_thread(tmp_path, monkeypatch, sizes, characters, end):
    monkeypatch.setattr(reading, "processors", lambda: 3)
    monkeypatch.setattr(reading, "STRETCH", 100)
    monkeypatch.setattr(reading, "BLOCK", 512)
    paths = written(tmp_path, sizes, end)
    one, many = WordIndex(MARKS, characters=characters), WordIndex(MARKS, characters=characters)
    blocks = list(reading.read_word_blocks(paths, one))
    ids, ends = reading.read_words(paths, many)
    assert ids.tolist() == [number for some, _ in blocks for number in some.tolist()]
    assert many.words() == one.words()
    read, wanted = 0, []
    for some, line_ends in blocks:
        wanted += [int(end) + read for end in line_ends]
        read += len(some)
    assert ends.tolist() == wanted


def test_shares_are_whole_lines_of_all_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "processors", lambda: 3)
    monkeypatch.setattr(reading, "STRETCH", 1)
    paths = written(tmp_path, [40, 3, 80])
    files = reading._files(paths)
    shares = reading._shares(files)
    assert len(shares) == 3
    parts = [part.path.read_bytes()[part.start : part.end] for share in shares for part in share]
    assert b"".join(parts) == b"".join(path.read_bytes() for path in paths)
    assert all(part.endswith(b"\n") for part in parts)


def test_a_saved_list_is_mapped_and_not_read(tmp_path, monkeypatch):
    words = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(500))]
    WordTokenizer(words).save(tmp_path)
    monkeypatch.setattr(WordIndex, "of_lines", None)
    assert WordTokenizer.load(tmp_path).encode("w3 w499 new </s>") == [6, 502, 0, 0]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_without_a_sound_table_the_list_is_read(tmp_path, damage):
    index = WordIndex([*MARKS, b"a", b"b"])
    (tmp_path / LIST).write_bytes(index.lines())
    save_table(index, tmp_path)
    damage(tmp_path / TABLE)
    assert load_words(tmp_path, characters=False).words() == index.words()


def test_a_list_of_other_words_is_not_found_in_the_old_table(tmp_path):
    index = WordIndex([*MARKS, b"a", b"b"])
    save_table(index, tmp_path)
    (tmp_path / LIST).write_bytes(b"<unk>\n<s>\n</s>\nb\na\n")
    assert load_words(tmp_path, characters=False).number(b"a") == 4
