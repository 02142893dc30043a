"""`fourfold inspect` on files, on published shapes, and where there is nothing to draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.cli.app import run
from fourfold.cli.inspect import texts
from fourfold.inference import LanguageModel
from fourfold.models import build_model
from fourfold.tokenizers import byte_tokenizer

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)

    def do(*words: object) -> tuple[int, str, str]:
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return do


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = {"family": "llama", "layers": 2, "hidden_size": 16, "heads": 2, "context": 64}
    tokenizer = byte_tokenizer()
    LanguageModel(build_model(table, tokenizer.vocabulary_size), tokenizer).save(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_is_told_with_its_modules_and_costs(call: Call, folder: Path) -> None:
    code, out, err = call("inspect", folder, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["kind"] == "TransformerLM"
    assert facts["numbers"] == sum(facts["parameters_by_part"].values())
    assert facts["kv_bytes_per_token"] == 2 * 2 * 16 * 4
    assert facts["architecture"]["feed-forward"].startswith("SwiGLU")
    query = next(row for row in facts["modules"] if row["path"] == "stack.layers.0–1.attention.query")
    assert (query["shape"], query["parameters"]) == ("16 × 16", 256)
    code, out, err = call("inspect", folder)
    assert "0–1 × 2" in out
    assert "bytes a token" in out
    assert err.splitlines()[-1].startswith("Next: fourfold generate")


def test_pictures_are_written_where_the_last_line_says(call: Call, folder: Path, tmp_path: Path) -> None:
    code, out, err = call("inspect", folder, "--masks", "--prompt", "The cat sat.", "-o", "pictures")
    assert code == 0, err
    assert out.splitlines()[-1].startswith("Result: pictures   Next: fourfold generate")
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    wanted = ("masks", "attention-heads", "attention", "logit-lens")
    assert names == {f"{name}.{ending}" for name in wanted for ending in ("png", "svg", "csv")}


def test_a_long_prompt_is_cut_with_a_remark(call: Call, folder: Path) -> None:
    code, out, err = call("inspect", folder, "--prompt", "x" * 50, "--json")
    assert code == 0
    assert "the first 32 are drawn" in err
    assert len(json.loads(out)["pictures"]) == 3


def test_a_published_shape_needs_no_weights(call: Call) -> None:
    code, out, err = call("inspect", "palm:540b", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["numbers"] == 540_356_474_880
    assert facts["published"] == "540.35B"
    assert facts["architecture"]["attention"].startswith("multi-query")
    code, out, err = call("inspect", "mixtral:8x7b")
    assert "12,879,925,248 parameters a token" in out
    assert err.splitlines()[-1] == "Next: fourfold plan mixtral:8x7b"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gpt2:124m", "--prompt", "x"], "has no weights to read a prompt"),
        (["gpt2:123m"], "Did you mean '124m'?"),
        (["gtp2:124m"], "Did you mean 'gpt2'?"),
        (["openai:model@http://localhost:1/v1"], "an endpoint has no weights here"),
    ],
)
def test_what_cannot_be_inspected_is_one_sentence(call: Call, words: list[str], sentence: str) -> None:
    code, out, err = call("inspect", *words)
    assert code == 2
    assert sentence in err
    assert out == ""


def test_a_recurrent_model_has_costs_but_no_attention(call: Call, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    module = build_model({"family": "lstm", "layers": 1, "hidden_size": 8, "context": 32}, tokenizer.vocabulary_size)
    LanguageModel(module, tokenizer).save(tmp_path / "lstm")
    code, out, err = call("inspect", tmp_path / "lstm", "--json")
    assert code == 0, err
    assert json.loads(out)["flops_per_token"] > 0
    code, out, err = call("inspect", tmp_path / "lstm", "--masks")
    assert code == 2
    assert "only a transformer has attention to draw" in err


def test_pieces_of_a_character_are_shown_as_bytes() -> None:
    tokenizer = byte_tokenizer()
    ids = [*tokenizer.encode_ordinary("aé"), tokenizer.vocabulary_size]
    assert texts(tokenizer, ids) == ["a", "C3", "A9", f"id {tokenizer.vocabulary_size}"]
