"""`fourfold ngram` on real prose: train, prune, look, and what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.cli.app import run

Call = Callable[..., tuple[int, str, str]]
LICENCE = Path(__file__).resolve().parents[2] / "LICENSE"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command line in a folder with two texts and give back exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    lines = [line for line in LICENCE.read_text("utf-8").splitlines() if line.strip()]
    Path("train.txt").write_text("\n".join(lines[:-20]) + "\n", "utf-8")
    Path("new.txt").write_text("\n".join(lines[-20:]) + "\n", "utf-8")

    def do(*words: object) -> tuple[int, str, str]:
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return do


def test_train_prune_and_look(call: Call) -> None:
    options = ("--order", 3, "--smoothing", "katz", "--min-count", 2, "--prune", "0,0,1", "--arpa", "m.arpa.gz")
    code, out, err = call("ngram", "train", "train.txt", "-o", "three", *options)
    assert (code, "occur less than 2 times" in err) == (0, True), err
    code, out, _ = call("ngram", "info", "three", "--text", "new.txt", "--json")
    facts = json.loads(out)
    assert (facts["smoothing"], facts["normalised"], len(facts["orders"])) == ("katz", True, 3)
    assert 1 < facts["text"]["perplexity"] < 1000
    assert facts["text"]["unknown"] > 0
    code, out, _ = call("ngram", "prune", "three", "-o", "small", "--threshold", "1e-3")
    assert (code, "n-grams kept" in out) == (0, True)
    code, out, _ = call("ngram", "info", "m.arpa.gz")
    assert (code, "arpa" in out) == (0, True)
    code, out, _ = call("ngram", "prune", "small", "-o", "small.arpa")
    assert (code, Path("small.arpa").read_text("utf-8").startswith("\\data\\")) == (0, True)


def test_characters_need_no_spaces(call: Call) -> None:
    Path("zh.txt").write_text("学而时习之，不亦说乎？\n有朋自远方来，不亦乐乎？\n人不知而不愠，不亦君子乎？\n", "utf-8")
    code, out, err = call("ngram", "train", "zh.txt", "-o", "zh", "--order", 3, "--unit", "characters")
    assert code == 0, err
    assert "characters" in out
    code, out, err = call("generate", "zh", "不亦", "--max-tokens", 3, "--temperature", 0)
    assert (code, "乎" in out) == (0, True), err


def test_scores_that_are_no_probabilities_are_marked(call: Call) -> None:
    assert call("ngram", "train", "train.txt", "-o", "stupid", "--order", 2, "--smoothing", "stupid-back-off")[0] == 0
    for words in (("score", "stupid", "new.txt", "--lines"), ("ngram", "info", "stupid", "--text", "new.txt")):
        code, _, err = call(*words)
        assert (code, "are no probabilities" in err) == (0, True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--prune", "0,x"), "--prune takes whole numbers"),
        (("--prune", "1,0"), "these thresholds cannot prune"),
        (("--unit", "syllables"), "unknown unit"),
        (("--smoothing", "kats"), "Did you mean 'katz'"),
        (("--smoothing", "jelinek-mercer:2"), "weights from 0 to below 1"),
        (("--order", 11), "order out of range, expected 1 to 10, got 11"),
        (("--order", 0), "order out of range, expected 1 to 10, got 0"),
        (("--min-count", 100_000), "the vocabulary is empty, expected a word that occurs 100,000 times"),
    ],
)
def test_wrong_options_are_one_sentence(call: Call, options: tuple[object, ...], sentence: str) -> None:
    code, _, err = call("ngram", "train", "train.txt", "-o", "model", *options)
    assert (code, sentence in err) == (2, True), err
    assert not Path("model").exists()


@pytest.mark.parametrize("options", [(), ("--memory", "20MB"), ("--unit", "characters")])
def test_a_text_without_words_is_refused_and_leaves_nothing(
    call: Call, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "blank.txt").write_text("\n \n\n", "utf-8")
    before = sorted(Path().iterdir())
    code, _, err = call("ngram", "train", "blank.txt", "-o", "none", *options)
    assert (code, "the vocabulary is empty" in err) == (2, True)
    assert sorted(Path().iterdir()) == before


BROKEN = {
    "no back-off": ("a\t-0.2", "a", "have longer n-grams but no back-off weight"),
    "too few": ("ngram 2=2", "ngram 2=5", "fewer n-grams than the header says, expected 5, got 2"),
    "too many": ("ngram 2=2", "ngram 2=1", "holds more n-grams than its header says"),
    "NaN": ("-0.3\ta </s>", "nan\ta </s>", "a log-probability is not a number, got 'nan'"),
    "positive": ("-0.3\ta </s>", "0.3\ta </s>", "a log-probability is above 0, got 0.3"),
    "twice": ("-0.3\ta </s>", "-0.3\t<s> a", "duplicate n-gram, got '<s> a'"),
}
ARPA = """\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-0.6\t<unk>
-99\t<s>\t-0.3
-0.5\t</s>
-0.7\ta\t-0.2

\\2-grams:
-0.2\t<s> a
-0.3\ta </s>

\\end\\
"""


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_arpa_files_are_one_sentence_and_leave_nothing(call: Call, kind: str) -> None:
    old, new, sentence = BROKEN[kind]
    Path("whole.arpa").write_text(ARPA, "utf-8")
    assert call("ngram", "prune", "whole.arpa", "-o", "whole")[0] == 0
    Path("broken.arpa").write_text(ARPA.replace(old, new), "utf-8")
    code, out, err = call("ngram", "prune", "broken.arpa", "-o", "out")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "broken.arpa" in err
    assert sentence in err
    assert not Path("out").exists()


def test_a_cut_gzip_is_one_sentence(call: Call) -> None:
    Path("cut.arpa.gz").write_bytes(gzip.compress(ARPA.encode())[:60])
    code, _, err = call("ngram", "info", "cut.arpa.gz")
    assert (code, "damaged or cut gzip file" in err) == (2, True)


def test_other_models_are_refused(call: Call) -> None:
    code, _, err = call("ngram", "info", "nowhere")
    assert code == 2, err


def test_the_tokens_of_any_tokenizer_are_counted(call: Call) -> None:
    assert call("tokenizer", "train", "train.txt", "-o", "tok", "--vocabulary-size", 400)[0] == 0
    code, out, err = call("ngram", "train", "train.txt", "-o", "bpe", "--order", 3, "--tokenizer", "tok")
    assert (code, "3-gram over 400 tokens" in out) == (0, True), err
    code, out, err = call("score", "bpe", "new.txt", "--lines", "--json")
    assert (code, 1 < json.loads(out)["bits_per_byte"] < 5) == (0, True), err
    code, _, err = call("ngram", "train", "train.txt", "-o", "x", "--tokenizer", "tok", "--min-count", 2)
    assert (code, "--tokenizer decides what is counted" in err) == (2, True)


def test_counting_on_disk_gives_the_same_files(call: Call) -> None:
    assert call("ngram", "train", "train.txt", "-o", "a", "--order", 4)[0] == 0
    assert call("ngram", "train", "train.txt", "-o", "b", "--order", 4, "--memory", "20MB")[0] == 0
    for name in ("model.safetensors", "config.json", "words.txt", "words.json"):
        assert (Path("a") / name).read_bytes() == (Path("b") / name).read_bytes(), name
    code, _, err = call("ngram", "train", "train.txt", "-o", "c", "--memory", "much")
    assert (code, "not a size" in err) == (2, True)


def test_quantized_models_are_smaller_and_nearly_as_good(call: Call) -> None:
    assert call("ngram", "train", "train.txt", "-o", "a", "--order", 3)[0] == 0
    code, out, err = call("ngram", "quantize", "a", "-o", "b")
    assert (code, "nats in the mean" in out) == (0, True), err
    first, second = (json.loads(call("ngram", "info", name, "--text", "new.txt", "--json")[1]) for name in "ab")
    assert second["bytes"] < first["bytes"]
    assert second["text"]["perplexity"] == pytest.approx(first["text"]["perplexity"], rel=0.02)
