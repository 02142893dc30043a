"""What `fourfold generate` can be asked for beyond a plain draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.cli.app import run
from fourfold.inference import LanguageModel
from fourfold.models import build_model
from fourfold.tokenizers import byte_tokenizer

Call = Callable[..., tuple[int, str, str]]
SIZES = {"family": "llama", "layers": 1, "hidden_size": 16, "heads": 2, "context": 64}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`fourfold generate` of a tiny model."""
    monkeypatch.chdir(tmp_path)
    tokenizer = byte_tokenizer()
    LanguageModel(build_model(SIZES, tokenizer.vocabulary_size, seed=1).eval(), tokenizer).save(tmp_path / "tiny")

    def do(*words: object) -> tuple[int, str, str]:
        code = run(["generate", "tiny", "ab", "--max-tokens", "12", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return do


@pytest.mark.parametrize(
    "words",
    [
        ["--beams", 3, "--length-penalty", 0.5], ["--contrastive", 0.6], ["--best-of", 3], ["--look-up"],
        ["--draft", "tiny", "--guess", 3], ["--typical-p", 0.9], ["--repetition-penalty", 1.2],
        ["--presence-penalty", 0.5, "--frequency-penalty", 0.5], ["--logit-bias", "97=-100", "--logit-bias", "98=3"],
    ],
)  # fmt: skip
def test_every_search_and_choice_continues_the_text(call, words):
    code, out, err = call(*words)
    assert (code, out.startswith("ab")) == (0, True), err


def test_several_answers_and_alternatives(call):
    code, out, err = call("--n", 3, "--seed", 1, "--alternatives", 2, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert len(found["others"]) == 2
    assert [len(best) for best in found["alternatives"]] == [2] * len(found["ids"])
    assert call("--n", 2, "--seed", 1)[1].startswith("ab")


def test_an_answer_of_a_form(call, tmp_path):
    pytest.importorskip("llguidance")
    assert call("--choice", "yes", "--choice", "no")[1].strip() in ("yes", "no")
    assert call("--regex", "[0-9]{3}")[1].strip().isdecimal()
    (tmp_path / "schema.json").write_text('{"type": "boolean"}')
    assert json.loads(call("--json-schema", "schema.json")[1]) in (True, False)
    (tmp_path / "rules.lark").write_text('start: "x" "y"')
    assert call("--grammar", "rules.lark")[1].strip() == "xy"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--beams", 3, "--look-up"], "--beams and --look-up"),
        (["--regex", "a", "--choice", "b"], "--regex and --choice"),
        (["--logit-bias", "x"], "ID=NUMBER"),
        (["--logit-bias", "99999=1"], "does not have"),
        (["--json-schema", "nowhere.json"], "nowhere.json"),
        (["--beams", 0], "out of range"),
        (["--draft", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_wish_is_one_sentence(call, words, sentence):
    code, _, err = call(*words)
    assert (code, sentence in err) == (2, True), err
