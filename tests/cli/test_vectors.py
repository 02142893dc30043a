"""`fourfold vectors` on real prose: train, ask, judge, hand on; stop and go on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.cli.app import run
from fourfold.workflow import interrupts, vectors

Call = Callable[..., tuple[int, str, str]]
LICENCE = Path(__file__).resolve().parents[2] / "LICENSE"
OPTIONS = ("--unit", "simple-words", "--size", 16, "--min-count", 3, "--threads", 1)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(LICENCE.read_text("utf-8"), "utf-8")

    def do(*words: object) -> tuple[int, str, str]:
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return do


def test_train_ask_judge_and_hand_on(call: Call) -> None:
    code, out, err = call("vectors", "train", "text.txt", "-o", "v", *OPTIONS, "--phrases", "20", "--json")
    assert (code, json.loads(out)["size"]) == (0, 16), err
    code, out, _ = call("vectors", "nearest", "v", "license", "-k", 3, "--json")
    assert (code, len(json.loads(out))) == (0, 3)
    for method in ("add", "multiply"):
        code, out, err = call("vectors", "analogy", "v", "the", "license", "a", "--method", method)
        assert (code, out.startswith("word")) == (0, True), err
    Path("q.txt").write_text(": one\nthe license a work\n", "utf-8")
    Path("s.txt").write_text("the a 3\nlicense work 5\nthe work 1\n", "utf-8")
    code, out, _ = call("vectors", "evaluate", "v", "q.txt", "s.txt", "--json")
    results = json.loads(out)
    assert (code, results["q.txt"][-1]["asked"], results["s.txt"][0]["known"]) == (0, 1, 3)
    assert call("vectors", "export", "v", "-o", "v.txt.gz")[0] == 0
    assert call("vectors", "nearest", "v.txt.gz", "license")[1] == call("vectors", "nearest", "v", "license")[1]
    code, out, err = call("vectors", "export", "v", "-o", "eyes", "--words", "license,work,the,a", "--limit", 10)
    assert code == 0, err
    rows = Path("eyes/vectors.tsv").read_text("utf-8").splitlines()
    names = Path("eyes/metadata.tsv").read_text("utf-8").splitlines()
    assert len(rows) == len(names) >= 10
    assert {len(row.split("\t")) for row in rows} == {16}
    assert "license" in Path("eyes/picture.svg").read_text("utf-8")


def test_stopped_and_gone_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("vectors", "train", "text.txt", "-o", "v.bin", *OPTIONS, "--epochs", 4)
    monkeypatch.setattr("fourfold.models.vectors.training.ROUND_CHUNKS", 1)
    assert call(*command)[0] == 0
    whole = Path("v.bin").read_bytes()
    Path("v.bin").unlink()
    real = vectors.train_vectors

    def stopping(*arguments: object, **options: object):  # type: ignore[no-untyped-def]
        for number, step in enumerate(real(*arguments, **options)):  # type: ignore[arg-type]
            if number == 1:
                pressed[0]._receive(2, None)
            yield step

    pressed: list[interrupts.Interrupts] = []

    class Pressed(interrupts.Interrupts):
        def __init__(self) -> None:
            super().__init__()
            pressed.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(vectors, "train_vectors", stopping)
        patch.setattr(vectors, "Interrupts", Pressed)
        code, _, err = call(*command)
        assert (code, "Go on with: fourfold" in err) == (130, True)
    assert not Path("v.bin").exists()
    assert Path("v.bin.unfinished.safetensors").is_file()
    code, _, err = call(*command)
    assert (code, "Going on from v.bin.unfinished" in err) == (0, True)
    assert Path("v.bin").read_bytes() == whole
    assert not Path("v.bin.unfinished.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("train", "text.txt", "-o", "v", "--architecture", "skipgram"),
            "unknown architecture 'skipgram'. Did you mean",
        ),
        (("train", "text.txt", "-o", "v", "--unit", "bytes"), "unknown unit 'bytes'"),
        (("train", "text.txt", "-o", "v", "--phrases", "x"), "--phrases takes numbers"),
        (("train", "text.txt", "-o", "v", "--min-count", "9999"), "too few words to train on"),
        (("train", "text.txt", "-o", "v", "--threads", "-1"), "at least 1"),
        (("train", "none.txt", "-o", "v"), "none.txt: no such file"),
        (("train", "empty.txt", "-o", "v"), "too few words"),
        (("nearest", "text.txt", "a"), "text.txt:1: not a word2vec file"),
        (("nearest", ".", "a"), "not a folder of word vectors"),
        (("analogy", "text.txt", "a", "b", "c", "--method", "mul"), "unknown method 'mul'. Did you mean 'multiply'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(call: Call, words: tuple[str, ...], sentence: str) -> None:
    Path("empty.txt").write_text("", "utf-8")
    code, _, err = call("vectors", *words)
    assert code == 2
    assert sentence in err
    assert len(re.findall(r"^Error:", err, re.M)) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["empty.txt", "text.txt"]
