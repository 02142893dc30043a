"""The frame of the command line: help, exit codes, one sentence an error, progress, speed."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import typer.core
import typer.main
from rich.console import Console
from typer.testing import CliRunner

from fourfold.cli import app
from fourfold.cli.app import run
from fourfold.cli.console import between, command_line, duration, resume_command
from fourfold.cli.progress import BarSink, PlainSink, sink_for
from fourfold.errors import Interrupted, UserError
from fourfold.progress import say, track, use_sink

HEAVY = ("torch", "transformers", "numba", "matplotlib", "fastapi", "polars", "pydantic")


def all_commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    def walk(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        if isinstance(command, typer.core.TyperGroup):
            for name, child in command.commands.items():
                yield from walk((*words, name), child)
        else:
            yield words, command

    yield from walk((), typer.main.get_command(app))


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    command = COMMANDS[words]
    assert command.help
    assert (command.epilog or "").startswith(f"Example: fourfold {' '.join(words)}")


def test_the_commands_of_the_main_job_are_there() -> None:
    wanted = (
        "quickstart|init|run|runs list|runs show|runs rm|report|models list|models get|info|plan|evaluate|compare|ask|"
        "doctor|results export|corpus build|corpus stats|tokenizer train|tokenizer extend|tokenizer encode|ngram train|"
        "ngram prune|ngram quantize|"
        "ngram info|vectors train|vectors nearest|vectors analogy|vectors evaluate|vectors export|"
        "pretrain|tune sft|tune dpo|score|generate|chat|solve|convert|quantize|inspect|serve|serve-key|claim list|"
        "claim run|claim register"
    )
    assert {" ".join(words) for words in COMMANDS} == set(wanted.split("|"))


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    script = (
        "import sys; from fourfold.cli.app import run; code = run(['--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    began = time.process_time()
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0
    assert result.stderr.strip() == "[]"
    assert time.process_time() - began < 5


def output_of(capsys: pytest.CaptureFixture[str], words: list[str], **options: bool) -> tuple[int, str, str]:
    code = run(words, **options)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["score", "no/such/model", "no.txt"], "no such file"),
        (["run", "no.toml"], "no.toml: no such file"),
        (["runs", "show", "nothing"], "there is no run 'nothing'"),
        (["plan", "lama:7b"], "Did you mean 'llama'?"),
        (["plan", "llama:7b", "--for", "fun"], "expected train, tune or score"),
        (["corpus", "stats", "."], "this is no corpus"),
        (["models", "get", "smolm2"], "Did you mean 'smollm2'?"),
        (["solve", "smollm2", "1+1?", "--tools", "calculater"], "Did you mean 'calculator'?"),
        (["serve", "smollm2", "--host", "0.0.0.0"], "needs a key"),
        (["report", "x", "--lang", "fr"], "expected en or zh"),
        (["pretrain", "x", "-o", "y", "--steps", "1", "--seconds", "1"], "give one budget"),
        (["pretrain", "x", "-o", "y", "--family", "ngram", "--steps", "1"], "needs no budget"),
        (["compare", "no-a", "no-b"], "no such result"),
    ],
)
def test_a_users_error_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(str(tmp_path))
    code, out, err = output_of(capsys, words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert out == ""
    assert len(err.strip().splitlines()) == 1


def test_misuse_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["scoer"], ["score"], ["generate", "m", "p", "--max-tokens", "many"], ["plan", "x", "--tokns", "1"]):
        assert output_of(capsys, words)[0] == 2


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> dict[str, BaseException]:
    """A `load` that raises what the test puts in."""
    import fourfold.cli.scoring as scoring

    raised: dict[str, BaseException] = {}

    def load(*arguments: object) -> None:
        raise raised["error"]

    monkeypatch.setattr(scoring, "load_model", load)
    monkeypatch.setattr(scoring, "read_input", lambda file: "text")
    return raised


def test_our_error_is_exit_code_1_and_debug_shows_where(
    capsys: pytest.CaptureFixture[str], broken: dict[str, BaseException]
) -> None:
    broken["error"] = RuntimeError("boom")
    code, _, err = output_of(capsys, ["score", "m", "f"])
    assert code == 1
    assert "boom" in err
    assert "Traceback" not in err
    code, _, err = output_of(capsys, ["score", "m", "f"], debug=True)
    assert code == 1
    assert "Traceback" in err
    broken["error"] = UserError("no")
    assert "Traceback" in output_of(capsys, ["score", "m", "f"], debug=True)[2]


def test_interruption_is_exit_code_130_and_names_the_way_back(
    capsys: pytest.CaptureFixture[str], broken: dict[str, BaseException]
) -> None:
    broken["error"] = KeyboardInterrupt()
    token = resume_command.set("fourfold run x.toml")
    try:
        code, _, err = output_of(capsys, ["score", "m", "f"])
    finally:
        resume_command.reset(token)
    assert code == 130
    assert "Go on with: fourfold run x.toml" in err


def test_a_run_that_was_interrupted_says_how_to_resume(
    capsys: pytest.CaptureFixture[str], broken: dict[str, BaseException]
) -> None:
    broken["error"] = Interrupted("Interrupted. Resume with: fourfold run x.toml")
    code, _, err = output_of(capsys, ["score", "m", "f"])
    assert (code, err.strip()) == (130, "Interrupted. Resume with: fourfold run x.toml")


def test_running_out_of_memory_is_told(capsys: pytest.CaptureFixture[str], broken: dict[str, BaseException]) -> None:
    broken["error"] = MemoryError()
    code, _, err = output_of(capsys, ["score", "m", "f"])
    assert code == 2
    assert "fourfold plan" in err


def test_debug_may_stand_anywhere() -> None:
    script = "from fourfold.cli import main; main()"
    for words in (["--debug", "runs", "show", "x"], ["runs", "show", "x", "--debug"]):
        result = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
        assert result.returncode == 2
        assert "Traceback" in result.stderr


def test_plain_progress_goes_to_the_stream_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("fourfold.cli.progress.time.monotonic", lambda: float(next(clock)))
    stream = io.StringIO()
    with use_sink(sink_for(stream)):
        assert list(track(range(6), "train", unit="steps")) == list(range(6))
        say("a remark")
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("train: 3/6 steps")
    assert "s left" in lines[0]
    assert lines[-2].startswith("train: 6/6 steps")
    assert lines[-1] == "a remark"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal_nest_and_leave_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with use_sink(sink_for(stream)):
        for _ in track(range(2), "outer"):
            for _ in track(range(2), "inner"):
                time.sleep(0.3)
        say("a [remark]")
    text = stream.getvalue()
    assert "outer: 2/2 items" in text
    assert "a [remark]" in text
    assert not isinstance(sink_for(stream), PlainSink)


def test_80_columns_show_amount_time_left_and_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    clock = iter(range(0, 1000, 4))
    sink = BarSink(Terminal())
    sink.progress.get_time = lambda: float(next(clock))  # type: ignore[method-assign]
    note = "loss 5.327 █▇▅▄▄▄▂▂▂▂▁▂, lr 0.0003, 13,907 tokens/s, MFU 43%, 0.8 GB"
    work = sink.start("train SmolLM2-135M in few bits, gone on", 2000, "steps")
    for _ in range(2):
        work.advance(523, note)
    shown = io.StringIO()
    console = Console(file=shown, width=80)
    for part in sink.progress.get_renderables():
        console.print(part)
    bar, said = (line.rstrip() for line in shown.getvalue().splitlines())
    assert "1,046/2,000 steps, " in bar
    assert re.search(r"\d:\d\d$", bar)
    assert said.strip() == note
    assert max(len(bar), len(said)) <= 80
    sink.stop(work)
    left = sink.console.file.getvalue()  # type: ignore[attr-defined]
    assert f" s\n    {note}\n" in left


def test_numbers_as_people_read_them() -> None:
    assert [duration(s) for s in (4, 42, 660, 9000, 864000)] == ["4.0 s", "42 s", "11 min", "2.5 h", "10 days"]
    assert between(660, 120) == "11 ± 2 min"
    assert between(42, 1) == "42 ± 1 s"
    assert command_line(["chat", "my model"]) == "fourfold chat 'my model'"
