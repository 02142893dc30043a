"""`fourfold ask` as a user meets it: answers, refusals, privacy, odd folders, a loop, scores."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.cli.app import run
from fourfold.inference import Endpoint, Generation, ScriptedModel

Ask = Callable[..., tuple[int, str, str]]
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\xff\xfe"
QUESTION = "When does the printer contract end?"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "printer.md").write_text("# Printer\n\nThe printer contract with Blue Ink ends on 31 March 2027.\n")
    (folder / "leave.txt").write_text("Employees have 28 days of leave a year.\nWrite to ann@example.com about it.\n")
    (folder / "机房.txt").write_text("机房位于三楼东侧。空调每年检修两次，由王工负责。", "utf-8")
    (folder / "photo.png").write_bytes(PNG)
    return folder


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(*words: object, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = run(["ask", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """What `--model` loads in this test."""

    def use(found: Any) -> Any:
        monkeypatch.setattr("fourfold.cli.ask.load_model", lambda reference: found)
        return found

    return use


def test_a_quote_with_its_place_and_the_bounds_first(ask: Ask, docs: Path) -> None:
    code, out, err = ask(docs, QUESTION)
    assert code == 0
    assert out.startswith("[1] printer.md, ")
    assert "The printer contract with Blue Ink ends on 31 March 2027." in out.splitlines()[0]
    lines = err.splitlines()
    assert "memory" in lines[0]
    assert "disk" in lines[0]
    assert any(".png" in line and "no reader" in line for line in lines)
    assert lines[-1].startswith("Index: ")
    assert "Next: fourfold ask" in lines[-1]


def test_the_second_time_nothing_is_read(ask: Ask, docs: Path) -> None:
    ask(docs, QUESTION)
    _, _, err = ask(docs, QUESTION)
    assert "Nothing new: 3 passages, 1 files left out." in err


def test_chinese_and_a_no_in_both_languages(ask: Ask, docs: Path) -> None:
    assert "王工负责" in ask(docs, "空调由谁负责检修？")[1]
    _, out, _ = ask(docs, "世界杯冠军是谁？")
    assert out.splitlines()[0] == "文档中没有。"
    assert "世界杯冠军" in out
    assert ask(docs, "Who won the world cup in Brazil?")[1].startswith("Not in your documents.")
    assert ask(docs, "Who won the world cup in Brazil?", "--lang", "zh")[1].startswith("文档中没有。")


def test_a_model_words_and_is_checked(ask: Ask, docs: Path, model: Callable[[Any], Any]) -> None:
    model(ScriptedModel(["The contract ends on 31 March 2027. Blue Ink is in Oslo."]))
    code, out, err = ask(docs, QUESTION, "--model", "some")
    assert code == 0
    assert out.splitlines()[0] == "The contract ends on 31 March 2027. [1]"
    assert "Oslo" not in out
    assert "1 sentence(s) of the model dropped" in err


def test_json(ask: Ask, docs: Path) -> None:
    record = json.loads(ask(docs, QUESTION, "--json")[1])
    assert record["answered"] is True
    assert record["citations"][0]["source"] == "printer.md"
    assert record["citations"][0]["quote"] in (docs / "printer.md").read_text()
    assert json.loads(ask(docs, "Who won the world cup?", "--json")[1])["answered"] is False


def test_without_the_model_installed_it_says_how(ask: Ask, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.inference.loading.find_smollm2", lambda: None)
    code, out, err = ask(docs, QUESTION, "--model", "smollm2")
    assert code == 0
    assert "31 March 2027" in out
    assert "fourfold models get smollm2" in err


def test_questions_line_by_line(ask: Ask, docs: Path) -> None:
    typed = f"{QUESTION}\n\n/sources\n/what\n空调由谁负责检修？\n/quit\nnever\n"
    code, out, err = ask(docs, typed=typed)
    assert code == 0
    assert "31 March 2027" in out
    assert "1. printer.md" in out
    assert "王工" in out
    assert "/quit" in err


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "no such folder"),
        (lambda folder: folder.write_text("x"), "a file, not a folder"),
        (lambda folder: folder.mkdir(), "there is no text to ask in this folder"),
        (lambda folder: (folder.mkdir(), (folder / "a.png").write_bytes(PNG)), ".png: no reader"),
    ],
)
def test_folders_without_text(ask: Ask, tmp_path: Path, make: Callable[[Path], Any], sentence: str) -> None:
    make(tmp_path / "odd")
    code, out, err = ask(tmp_path / "odd", QUESTION)
    assert (code, out) == (2, "")
    assert sentence in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--lang", "fr"], "expected en or zh"),
        (["--method", "bm52"], "Did you mean 'bm25'?"),
        (["--method", "dense"], "--encoder"),
        (["--model", "openai:m@https://api.example.com/v1"], "would leave this machine for api.example.com"),
        (["--model", "openai:m@ftp://x"], "not a web address"),
        (["--model", "none", "--max-cost", "1"], "only an endpoint costs money"),
        (["--model", "openai:m@https://api.example.com/v1", "--allow-remote", "--max-cost", "1"], "needs a price"),
        (["--model", "openai:m@https://api.example.com/v1", "--allow-remote", "--price", "x"], "two numbers"),
    ],
)
def test_what_is_refused_before_reading(ask: Ask, docs: Path, words: list[str], sentence: str) -> None:
    code, out, err = ask(docs, QUESTION, *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


REMOTE = ("--model", "openai:m@https://api.example.com/v1", "--allow-remote")


def test_what_leaves_is_said_redacted_and_never_logged(
    ask: Ask, docs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key-1234567890")
    sent: list[str] = []

    def chat(self: Endpoint, messages: Any, sampling: Any = None) -> Generation:
        sent.append(str(messages))
        return Generation(text="Write to [EMAIL-1] about leave.")

    monkeypatch.setattr(Endpoint, "chat", chat)
    code, out, err = ask(docs, "Who is to be told about leave?", *REMOTE, "--redact", "--threshold", "0")
    assert code == 0
    assert "ann@example.com" not in sent[0]
    assert "Leaving this machine to api.example.com: 1 question and" in err
    assert "redacted" in err
    assert "Write to ann@example.com about leave. [1]" in out
    assert "sk-very" not in out + err
    assert "Employees have" not in err


def test_an_endpoint_that_drops_leaves_the_quotes(ask: Ask, docs: Path) -> None:
    code, out, err = ask(docs, QUESTION, "--model", "openai:m@http://127.0.0.1:9/v1")
    assert code == 0
    assert "31 March 2027" in out
    assert "the endpoint does not answer" in err
    assert "Here are the quotes." in err


def test_draft_correct_score_compare(ask: Ask, docs: Path) -> None:
    code, out, _ = ask(docs, "--make-questions", 5)
    assert code == 0
    assert "Result: questions.jsonl   Next: fourfold ask" in out
    drafts = [json.loads(line) for line in Path("questions.jsonl").read_text("utf-8").splitlines()]
    assert drafts
    assert {"question", "answer", "source", "place", "quote", "made_by"} <= set(drafts[0])
    assert ask(docs, "--make-questions", 5)[0] == 2  # corrections are not overwritten
    code, out, _ = ask(docs, "--questions", "questions.jsonl", "-o", "a")
    assert code == 0
    assert "hit_at_1" in out
    assert out.splitlines()[-1].startswith("Result: a   Next: fourfold compare a")
    assert ask(docs, "--questions", "questions.jsonl", "-o", "b", "--threshold", "1")[0] == 0
    assert run(["compare", "a", "b"]) == 0
