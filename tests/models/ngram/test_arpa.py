import argparse
import gzip
import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fourfold.errors import UserError
from fourfold.models import Step
from fourfold.models.ngram import WordTokenizer, read_arpa, train_ngram, train_word_ngram, write_arpa

LINES = inspect.getsource(argparse).splitlines()
TRAIN, HELD_OUT = LINES[:2000], LINES[2000:]

TINY = """\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-1.0\t<unk>\t0
0\t<s>\t-0.3
-0.5\ta\t-0.2
-0.6\t</s>\t0

\\2-grams:
-0.1\t<s> a
-0.4\ta a
-0.7\ta </s>

\\end\\
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    (folder / "text.txt").write_text("\n".join(TRAIN) + "\n")
    model, words = train_word_ngram([folder / "text.txt"], 4)
    write_arpa(model, folder / "model.arpa", words.words)
    return model, words, folder


def sentence_scores(model, words, text):
    ids = torch.tensor([[words.bos_id, *words.encode(text), words.eos_id]])
    return model.target_log_probs(Step(ids=ids[:, :-1]), ids[:, 1:])[0] / math.log(10)


def test_kenlm_reads_our_file_and_gives_the_same_scores(trained):
    kenlm = pytest.importorskip("kenlm")
    model, words, folder = trained
    theirs = kenlm.Model(str(folder / "model.arpa"))
    tokens, total = 0, 0.0
    for line in HELD_OUT + TRAIN[:200]:
        ours = sentence_scores(model, words, line)
        expected = list(theirs.full_scores(line))
        assert ours.tolist() == pytest.approx([score for score, _, _ in expected], abs=1e-4)
        tokens, total = tokens + len(ours), total + ours.sum().item()
    assert tokens > 2000
    assert total == pytest.approx(sum(theirs.score(line) for line in HELD_OUT + TRAIN[:200]), rel=1e-5)


def test_the_arpa_entries_are_chen_and_goodman(trained, slow_kneser_ney):
    _, words, folder = trained
    documents = [[words.bos_id, *words.encode(line), words.eos_id] for line in TRAIN]
    outcomes = [index for index in range(words.vocabulary_size) if index != words.bos_id]
    slow = slow_kneser_ney(documents, 4, outcomes, words.bos_id)
    random, checked = np.random.default_rng(0), 0
    for line in (folder / "model.arpa").read_text().splitlines():
        fields = line.split("\t")
        if len(fields) > 1 and fields[1] != "<s>" and random.random() < 0.05:
            gram = [words.words.index(word) for word in fields[1].split(" ")]
            assert float(fields[0]) == pytest.approx(math.log10(slow.probability(gram[-1], gram[:-1])), abs=1e-5)
            checked += 1
    assert checked > 500


@pytest.mark.parametrize("name", ["again.arpa", "again.arpa.gz"])
def test_reading_gives_the_model_back(trained, tmp_path, name):
    model, words, _ = trained
    write_arpa(model, tmp_path / name, words.words)
    again, again_words = read_arpa(tmp_path / name)
    assert again_words.words == words.words
    for ours, theirs in zip(model.trie, again.trie, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)


@pytest.mark.parametrize(("bos", "eos"), [(0, 0), (0, 1), (0, None), (None, None)])
def test_a_token_model_reads_the_same_in_kenlm(tmp_path, bos, eos):
    kenlm = pytest.importorskip("kenlm")
    random = np.random.default_rng(0)
    texts = [2 + random.geometric(0.3, 12).clip(max=8) - 1 for _ in range(80)]
    model = train_ngram(texts, order=3, vocabulary_size=10, bos_id=bos, eos_id=eos)
    names = ["<|a|>", "<|b|>", *"cdefghij"]
    write_arpa(model, tmp_path / "m.arpa", names)
    theirs = kenlm.Model(str(tmp_path / "m.arpa"))
    for text in texts[:20]:
        ids = [*([] if bos is None else [bos]), *map(int, text), *([] if eos is None else [eos])]
        row = torch.tensor([ids])
        ours = model.target_log_probs(Step(ids=row[:, :-1]), row[:, 1:])[0] / math.log(10)
        words = " ".join(names[index] for index in text)
        expected = [score for score, _, _ in theirs.full_scores(words, bos=bos is not None, eos=eos is not None)]
        assert ours.tolist() == pytest.approx(expected[1:] if bos is None else expected, abs=1e-4)


def test_a_hand_made_file(tmp_path):
    path = tmp_path / "tiny.arpa"
    path.write_text(TINY)
    model, words = read_arpa(path)
    # <s> a: -0.1; a b: backs off -0.2 to <unk> -1.0; </s> after an unknown word: -0.6
    assert sentence_scores(model, words, "a b").tolist() == pytest.approx([-0.1, -1.2, -0.6])


def test_a_missing_unknown_word_is_added_and_said(tmp_path, remarks):
    path = tmp_path / "tiny.arpa"
    path.write_text(TINY.replace("-1.0\t<unk>\t0\n", "").replace("1=4", "1=3"))
    model, words = read_arpa(path)
    assert sentence_scores(model, words, "b")[0].item() == pytest.approx(-100.3)
    assert "no <unk>" in remarks[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("-0.5\ta\t-0.2", "-0.5\ta"), "no back-off weight"),
        (("ngram 2=3", "ngram 2=4"), "fewer n-grams than the header says, expected 4, got 3"),
        (("ngram 2=3", "ngram 2=2"), "holds more n-grams"),
        (("ngram 1=4", "ngram 1=3"), "wrong section or wrong count"),
        (("-0.4\ta a", "nan\ta a"), "a log-probability is not a number"),
        (("-0.4\ta a", "x\ta a"), "a log-probability is not a number"),
        (("-0.5\ta\t-0.2", "-0.5\ta\tinf"), "a back-off weight is not a number"),
        (("-0.4\ta a", "0.4\ta a"), "a log-probability is above 0, got 0.4"),
        (("-0.7\ta </s>", "-0.7\ta a"), "duplicate n-gram, got 'a a'"),
        (("-1.0\t<unk>", "-1.0\ta"), "duplicate n-gram, got 'a'"),
        (("-0.4\ta a", "-0.4\ta b"), "a word is not among the 1-grams, got 'b'"),
        (("-0.4\ta a", "-0.4\ta a a a"), "not a 2-gram line"),
        (("\\end\\\n", ""), "the file ends too early"),
        (("-0.7\ta </s>\n\n\\end\\\n", ""), "the file ends too early"),
        (("\\data\\", "data"), "not an ARPA file"),
        (("ngram 1=4", "ngram 3=4"), "orders are not in sequence"),
        (("</s>", "end"), "has no </s>"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, change, sentence):
    path = tmp_path / "bad.arpa"
    assert change[0] in TINY
    path.write_text(TINY.replace(*change))
    with pytest.raises(UserError) as raised:
        read_arpa(path)
    assert sentence in str(raised.value)
    assert "bad.arpa" in str(raised.value)


def test_an_ngram_without_its_suffix_is_named(tmp_path):
    path = tmp_path / "bad.arpa"
    three = TINY.replace("ngram 2=3\n", "ngram 2=3\nngram 3=1\n").replace(" a\n", " a\t0\n")
    path.write_text(three.replace("\\end\\", "\\3-grams:\n-0.1\t<s> a <unk>\n\n\\end\\"))
    with pytest.raises(UserError, match="got 'a <unk>'"):
        read_arpa(path)


def test_a_cut_gzip_file_is_one_sentence(tmp_path):
    path = tmp_path / "cut.arpa.gz"
    whole = gzip.compress(TINY.encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged or cut gzip file"):
        read_arpa(path)
    with pytest.raises(UserError, match="no such file"):
        read_arpa(tmp_path / "none.arpa")


@pytest.mark.parametrize("name", ["a b", "", "tab\t"])
def test_token_strings_that_would_break_the_file(tmp_path, name):
    model = train_ngram([[1, 2]], order=2, vocabulary_size=3, bos_id=0)
    with pytest.raises(UserError, match="empty or has white space"):
        write_arpa(model, tmp_path / "m.arpa", ["a", name, "c"])
    with pytest.raises(UserError, match="same string"):
        write_arpa(model, tmp_path / "m.arpa", ["a", "b", "b"])
    assert not list(tmp_path.iterdir())


def test_words(tmp_path, remarks):
    (tmp_path / "a.txt").write_bytes("b c\u3000d\tb\n\n<s> c </s>\n".encode())
    model, words = train_word_ngram([tmp_path / "a.txt"], 2, "witten-bell")
    assert words.words == ["<unk>", "<s>", "</s>", "b", "c\u3000d", "c"]
    assert words.encode(" b  c nowhere </s>\n") == [3, 5, 0, 0]
    assert words.decode([1, 3, 5, 2]) == "b c"
    assert remarks == ["Skipped 2 marks (<s>, </s>, <unk>) spelt in the text."]
    stream = words.decode_stream()
    assert "".join([*map(stream.step, [1, 3, 5]), stream.finish()]) == "b c"
    words.save(tmp_path)
    again = WordTokenizer.load(tmp_path)
    assert (again.words, again.hash) == (words.words, words.hash)
    assert model.vocabulary_size == 6


def test_text_that_is_not_utf8(tmp_path):
    (tmp_path / "a.txt").write_bytes("na\u00efve b c\n".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        train_word_ngram([tmp_path / "a.txt"], 2)
    with pytest.raises(UserError, match="no such file"):
        train_word_ngram([Path(tmp_path / "b.txt")], 2)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    model = train_ngram([[1, 2]], order=2, vocabulary_size=3, bos_id=0)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="disk is full"):
        write_arpa(model, tmp_path / "m.arpa", ["a", "b", "c"])
    assert not list(tmp_path.iterdir())
