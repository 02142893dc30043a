"""The commands on real files: a tiny corpus, a tokenizer, an n-gram and a run, in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.cli.app import run
from fourfold.cli.chat import Conversation
from fourfold.inference import Sampling, ScriptedModel

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command line in an empty folder and give back exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def do(*words: object) -> tuple[int, str, str]:
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return do


def sentence(number: int) -> str:
    things, verbs = ("cat", "dog", "bird", "fish", "horse"), ("sees", "likes", "follows", "hears")
    return f"the {things[number % 5]} {verbs[number % 4]} the {things[number * 7 % 5]} near house {number % 11} ."


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Forty short documents of real prose: pieces of the licence."""
    folder = tmp_path / "notes"
    folder.mkdir()
    lines = (Path(__file__).resolve().parents[2] / "LICENSE").read_text("utf-8").split()
    for number in range(40):
        (folder / f"{number}.txt").write_text(" ".join(lines[number * 38 : number * 38 + 38]) + "\n", "utf-8")
    return folder


def test_from_text_to_a_tokenizer(call: Call, notes: Path) -> None:
    code, out, err = call("corpus", "build", notes, "-o", "corpus")
    assert (code, out.splitlines()[-1]) == (
        0,
        "Result: corpus   Next: fourfold tokenizer train corpus -o tokenizer",
    ), err
    code, out, err = call("corpus", "stats", "corpus", "--json")
    assert code == 0
    assert sum(json.loads(out)["documents"].values()) == 40
    code, out, err = call("tokenizer", "train", "corpus", "-o", "tokenizer", "--vocabulary-size", 300)
    assert code == 0, err
    code, out, err = call("tokenizer", "encode", "tokenizer", "the cat", "--json")
    encoded = json.loads(out)
    assert "".join(encoded["pieces"]) == "the cat"
    assert encoded["tokens"] == len(encoded["ids"]) < 7


def test_a_model_is_gone_on_from_with_new_tokens(call: Call, notes: Path) -> None:
    base = ("--layers", 1, "--hidden-size", 32, "--heads", 2, "--context", 32, "--vocabulary-size", 300)
    assert call("pretrain", notes, "--steps", 2, *base, "-o", "base")[0] == 0
    model = "base/pretrain.model/model"
    code, out, err = call("tokenizer", "extend", model, "LICENSE.txt", "-o", "longer")
    assert (code, "LICENSE.txt" in err) == (2, True)
    code, out, err = call("tokenizer", "extend", model, notes / "0.txt", "-o", "longer", "--tokens", 10)
    assert code == 0, err
    assert out.startswith("10 new tokens, 310 in all; ")
    more = ("--model", model, "--new-tokens", 20, "--replay", notes, "--steps", 3, "--context", 32, "--lr", 1e-3)
    code, out, err = call("pretrain", notes, *more, "-o", "more")
    assert code == 0, err
    assert "bits per byte: " in err
    card = json.loads(Path("more/pretrain.model/card.json").read_text("utf-8"))
    assert (card["family"], card["new_tokens"], card["steps"]) == ("continued", 20, 3)
    assert call("score", "more/pretrain.model/model", notes / "0.txt")[0] == 0
    code, out, err = call("pretrain", notes, "--replay", notes, "-o", "other")
    assert (code, "--new-tokens and --replay go with --model" in err) == (2, True)


def test_a_word_model_trained_scored_sampled_and_written_as_arpa(call: Call, notes: Path, tmp_path: Path) -> None:
    text = tmp_path / "all.txt"
    text.write_text("\n".join(sentence(number) for number in range(400)) + "\n", "utf-8")
    code, out, err = call("ngram", "train", text, "-o", "words", "--order", 3)
    assert code == 0, err
    code, out, err = call("ngram", "info", "words", "--json")
    assert json.loads(out)["order"] == 3
    assert call("convert", "words", "words.arpa")[0] == 0
    scores = {}
    for model in ("words", "words.arpa"):
        code, out, err = call("score", model, text, "--lines", "--json")
        assert code == 0, err
        scores[model] = json.loads(out)
    assert scores["words"]["texts"] == 400
    assert scores["words"]["log_prob"] == pytest.approx(scores["words.arpa"]["log_prob"], rel=1e-5)
    code, out, err = call("generate", "words", "the cat", "--max-tokens", 8, "--seed", 3, "--json")
    first = json.loads(out)
    assert first == json.loads(call("generate", "words", "the cat", "--max-tokens", 8, "--seed", 3, "--json")[1])
    assert first["text"]
    code, out, err = call("chat", "words")
    assert code == 2
    assert "fourfold generate words" in err


def test_pretrain_by_flags_writes_the_recipe_and_a_run(call: Call, notes: Path, tmp_path: Path) -> None:
    words = ("pretrain", notes, "-o", "mine", "--family", "ngram", "--order", 3, "--vocabulary-size", 300)
    code, out, err = call(*words)
    assert code == 0, err
    assert out.splitlines()[-1].startswith("Result: mine/pretrain.model/model   Next: fourfold generate")
    recipe = (tmp_path / "mine" / "recipe.toml").read_text("utf-8")
    assert 'family = "ngram"' in recipe
    assert str(notes) in recipe
    code, out, err = call(*words)
    assert (code, out.count("done before")) == (0, 3)
    code, out, err = call("run", "mine/recipe.toml", "--runs", ".")
    assert out.splitlines()[-1] == "Result: mine/report.html   Next: fourfold report mine --open"
    code, out, err = call("runs", "list", "--runs", ".", "--json")
    (row,) = json.loads(out)
    assert (row["name"], row["stages_done"], row["stages"]) == ("mine", 3, 3)
    code, out, err = call("runs", "show", "mine", "--runs", ".")
    assert "pretrain.model" in out
    code, out, err = call("inspect", "mine/pretrain.model/model", "--json")
    assert json.loads(out)["kind"] == "NGramLM"
    assert call("runs", "rm", "mine", "--runs", ".", "--yes")[0] == 0
    assert not (tmp_path / "mine").exists()


def test_a_written_recipe_is_a_recipe(call: Call, notes: Path, tmp_path: Path) -> None:
    code, out, err = call("init", notes, "-o", "notes.toml")
    assert code == 0, err
    assert "notes.toml" in out.splitlines()[-1]
    assert call("init", notes, "-o", "notes.toml")[0] == 2
    from fourfold.workflow import parse_recipe

    assert parse_recipe(tmp_path / "notes.toml").stages


def test_plan_of_a_model_and_of_a_recipe(call: Call, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fourfold.pretraining import Speed

    probe = Speed(seconds=660.0, spread=120.0, how="a fixed probe")
    monkeypatch.setattr("fourfold.pretraining.measure_speed", lambda job, precision: probe)
    monkeypatch.setattr("fourfold.pretraining.machine_memory", lambda: 15_600_000_000)
    code, out, err = call("plan", "smollm2:135m", "--tokens", "10M", "--context", 128, "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert plan["verdict"].startswith("fits: ")
    assert plan["verdict"].endswith("of 15.6 GB, 11 ± 2 min")
    assert {"parameters", "train_flops", "memory_bytes", "seconds"} <= set(plan)
    assert (plan["parameters"], plan["tokens"]) == (134_515_008, 1e7)
    assert json.loads(call("plan", "llama:65b", "--json")[1])["verdict"].startswith("does not fit: ")
    recipe = Path("small.toml")
    recipe.write_text(RECIPE.format(notes=notes), "utf-8")
    code, out, err = call("plan", recipe, "--json", "--set", "seed=3")
    assert code == 0, err
    assert err.splitlines()[-1] == "Next: fourfold run small.toml --set seed=3"
    plan = json.loads(out)
    assert [stage["stage"] for stage in plan["stages"]] == ["corpus.text", "tokenizer.bpe", "pretrain.decoder"]
    # One probed step of 4 x 32 tokens takes 660 s, and the budget is ten of them.
    assert plan["stages"][-1]["seconds"] == pytest.approx(6600)
    assert plan["train_flops"] == plan["stages"][-1]["train_flops"] > 0


RECIPE = """
name = "small"
[corpus.text]
sources = ["{notes}"]
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 300
[pretrain.decoder]
model = {{ family = "llama", layers = 2, hidden_size = 32, heads = 2, context = 32 }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 4
budget = {{ steps = 10 }}
"""


def test_evaluate_and_compare(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"before": ScriptedModel(["no idea"]), "after": ScriptedModel(["42"])}
    monkeypatch.setattr("fourfold.cli.evaluation.load_model", lambda reference, dtype: models[reference])
    questions = [{"question": f"Question {number}?", "answer": "42"} for number in range(12)]
    Path("q.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions), "utf-8")
    for name in models:
        Path(name).mkdir()  # a reference that is a folder, for the hash of its weights
        code, out, err = call("evaluate", name, "--tasks", "file:q.jsonl", "-o", f"results/{name}")
        assert code == 0, err
        assert f"Result: results/{name}" in out.splitlines()[-1]
    code, out, err = call("compare", "results/before", "results/after", "--json")
    assert code == 0, err
    (row,) = json.loads(out)["rows"]
    assert (row["difference"], row["verdict"]) == (1.0, "better")


def test_evaluate_public_tasks(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScriptedModel(["Answer: B"])
    monkeypatch.setattr("fourfold.cli.evaluation.load_model", lambda reference, dtype: model)
    Path("m").mkdir()
    questions = [{"id": n, "question": f"Q{n}?", "choices": ["no", "yes"], "answer": 1} for n in range(6)]
    Path("q.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions), "utf-8")
    public = ["evaluate", "m", "--tasks", "arc_easy@q.jsonl,piqa@q.jsonl", "--method", "letter_chat"]
    code, out, err = call(*public, "--shots", "2", "--shots-from", "arc_easy@q.jsonl", "--json")
    assert (code, out) == (2, "")
    assert "no demonstrations for piqa" in err
    shown = ["--shots-from", "arc_easy@q.jsonl", "--shots-from", "piqa@q.jsonl"]
    code, out, err = call(*public, "--shots", "2", *shown, "-o", "out", "--json")
    assert code == 0, err
    results = json.loads(out)
    assert [(row["task"], row["solver"], row["value"], row["n"]) for row in results["rows"]] == [
        ("arc_easy", "letter_chat", 1.0, 4),
        ("piqa", "letter_chat", 1.0, 4),
    ]
    assert results["rows"][0]["method"] == "generation of the letter in a chat"
    assert (results["data"]["piqa"]["shots"], results["data"]["piqa"]["left_out"]) == (2, 2)
    for options, sentence in (
        (["--shots", "2", "--tasks", "arithmetic"], "demonstrations are for public tasks"),
        (["--tasks", "piqa@q.jsonl", "--shots-from", "arc_easy@q.jsonl"], "no task to show demonstrations for"),
        (["--tasks", "piqa@q.jsonl", "--shots", "-1"], "out of range"),
    ):
        code, out, err = call("evaluate", "m", "-o", "bad", *options)
        assert (code, sentence in err) == (2, True), err
    assert not Path("bad").exists()


class Typing(io.StringIO):
    def isatty(self) -> bool:
        return False


def test_chat_remembers_resets_and_saves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = ScriptedModel(["one", "two", "three"])
    target = tmp_path / "talk.jsonl"
    lines = ["Hi", "/help", "", "And?", f"/save {target}", "/reset", "Again", "/dance", "/quit", "never"]
    monkeypatch.setattr("sys.stdin", Typing("\n".join(lines)))
    Conversation(model, "Be brief.", Sampling(max_tokens=10)).run()
    captured = capsys.readouterr()
    assert captured.out == "one\ntwo\nthree\n"
    assert "There is no /dance." in captured.err
    roles: list[Any] = [[turn["role"] for turn in asked] for asked in model.conversations]
    assert roles == [
        ["system", "user"],
        ["system", "user", "assistant", "user"],
        ["system", "user"],
    ]
    saved = json.loads(target.read_text("utf-8"))
    assert [turn["content"] for turn in saved["messages"]] == ["Be brief.", "Hi", "one", "And?", "two"]


def test_generate_by_a_served_model_ends_on_stderr(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.cli.generation.load_model", lambda *_: ScriptedModel([" there was light."]))
    code, out, err = call("generate", "m", "Then")
    assert (code, out) == (0, "Then there was light.\n")
    assert "Next: fourfold chat m" in err


@pytest.mark.parametrize(
    "solver", ["zero_shot", "few_shot", "chain_of_thought", "few_shot_chain_of_thought", "self_consistency"]
)
def test_solve_carries_out_the_calculators_calls(call: Call, monkeypatch: pytest.MonkeyPatch, solver: str) -> None:
    monkeypatch.setattr("fourfold.cli.generation.load_model", lambda *_: ScriptedModel(["CALC(6*7)"]))
    code, out, err = call("solve", "m", "6 times 7?", "--solver", solver, "--tools", "calculator", "--json")
    assert code == 0, err
    if solver != "self_consistency":  # which votes on numbers before tools run
        assert json.loads(out)["answer"] == "42"
