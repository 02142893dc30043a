"""`fourfold doctor`: verdict, exit codes, languages, JSON, and the last line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.cli import main
from fourfold.workflow.doctor import MODEL_CHECKS, Check, Words, examine
from fourfold.workflow.doctor.examining import Report, gather
from tests.workflow.doctor.sound import CHATS, edit, make_folder, write_lines

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    make_folder(Path("model"))
    write_lines(Path("chats.jsonl"), CHATS)

    def do(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out, captured.err

    return do


def test_a_sound_model_and_sound_data(call: Call) -> None:
    code, out, err = call("doctor", "model", "chats.jsonl")
    assert code == 0
    assert out.startswith("model (folder, llama) + chats.jsonl: sound\n")
    assert "first ids, chat" in out
    assert err.rstrip().endswith("Next: fourfold tune sft --model model --data chats.jsonl -o tuned")


def test_an_error_ends_with_2_and_a_warning_only_under_strict(call: Call) -> None:
    edit(Path("model/generation_config.json"), lambda values: values.update(eos_token_id=0))
    code, out, _ = call("doctor", "model")
    assert code == 0
    assert "1 warning" in out.splitlines()[0]
    assert "stop-missing" in out
    assert "→ Add 2 to eos_token_id" in out
    assert call("doctor", "model", "--strict")[0] == 2
    Path("model/model.safetensors").unlink()
    code, out, _ = call("doctor", "model")
    assert code == 2
    assert out.splitlines()[0] == "model (folder, llama): 1 error, 1 warning"


def test_in_chinese(call: Call) -> None:
    Path("model/model.safetensors").unlink()
    code, out, _ = call("doctor", "model", "--lang", "zh")
    assert code == 2
    assert out.splitlines()[0].endswith("1个错误")
    assert "目录里没有权重" in out
    assert "the folder" not in out


def test_as_json(call: Call) -> None:
    Path("model/model.safetensors").write_bytes(b"\x00" * 100)
    code, out, _ = call("doctor", "model", "chats.jsonl", "--json")
    result = json.loads(out)
    assert code == result["exit_code"] == 2
    assert result["counts"]["error"] == 1
    (error,) = [finding for finding in result["findings"] if finding["severity"] == "error"]
    assert error["code"] == "weights-damaged"
    assert error["where"] == "model.safetensors"
    assert {"sentence", "fix"} <= error.keys()
    assert result["facts"]["records"] == "4 × messages"


def test_data_alone(call: Call) -> None:
    write_lines(Path("test.jsonl"), [{"question": "What colour is the sky over the bridge in the winter?"}])
    code, out, _ = call("doctor", "chats.jsonl", "--against", "test.jsonl")
    assert code == 0
    assert "none of 1 items of test.jsonl" in out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("doctor", "nowhere"), "unknown model 'nowhere'"),
        (("doctor", "hf:nobody/nothing"), "not cached"),
        (("doctor", "model", "nothing.jsonl"), "no such file"),
        (("doctor", "model", "--lang", "de"), "expected en or zh"),
        (("doctor", "model", "--against", "chats.jsonl"), "Name a data file"),
        (("doctor", "model", "chats.jsonl", "--context", "0"), "1 or more"),
    ],
)
def test_a_reference_to_nothing_is_one_sentence(call: Call, words: tuple[str, ...], part: str) -> None:
    code, out, err = call(*words)
    assert code == 2
    assert out == ""
    assert part in err.splitlines()[-1]


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(call: Call) -> None:
    def broken(model: object) -> object:
        raise RuntimeError("a wheel came off")

    report = Report()
    check: Check[object] = Check(title=Words("Wheels", "轮子"), run=broken, kinds=())  # type: ignore[arg-type]
    gather(report, [check, *MODEL_CHECKS[-1:]], examined := object())
    assert [finding.kind.code for finding in report.findings][:1] == ["check-failed"]
    assert "a wheel came off" in report.findings[0].sentence.en
    assert examined is not None
    assert examine("model").count("error") == 0
