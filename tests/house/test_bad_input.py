"""Bad input, through the command line: one sentence, the right exit code, nothing half-written."""

from __future__ import annotations

import io
import json
import math
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from fourfold.adaptation.peft import LoRAOptions, add_lora
from fourfold.cli import main
from fourfold.files import lock_folder
from fourfold.inference import LanguageModel
from fourfold.models import build_model
from fourfold.models.files import save_adapter, save_gguf
from fourfold.tokenizers import byte_tokenizer, train_byte_bpe

CONTEXT = 64
RECIPE = """name = "small"
[corpus.text]
sources = ["notes"]
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 300
[pretrain.decoder]
label = "decoder"
model = { family = "llama", layers = 1, hidden_size = 16, heads = 2, context = 32 }
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 2
budget = { steps = 2 }
curve = { points = 1, bytes = 256 }
"""


@dataclass(frozen=True)
class Outcome:
    """What a command line left on the screen."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("Error: ")]


Call = Callable[..., Outcome]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command line in an empty folder, as the `fourfold` program does."""
    monkeypatch.chdir(tmp_path)

    def do(*words: object) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, captured.out, captured.err)

    return do


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file with its bytes; folders by name alone."""
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in paths}


def half_written(folder: Path) -> list[Path]:
    return [path for pattern in ("*.part", "*.old") for path in folder.rglob(pattern)]


def sentence_of(outcome: Outcome, code: int = 2) -> str:
    """The one sentence of a refused command, after checking that it is one and nothing else."""
    assert outcome.code == code, outcome
    assert len(outcome.errors) == 1, outcome.err
    assert outcome.err.rstrip().splitlines()[-1] == outcome.errors[0]
    assert "Traceback" not in outcome.err
    sentence = outcome.errors[0].removeprefix("Error: ")
    assert re.search(r"([.?]|: fourfold .+)$", sentence), sentence  # a command to copy ends without a full stop
    assert not re.search(r"[.?]\.( |$)", sentence), sentence
    return sentence


# ---- what the commands are given


def small_model() -> torch.nn.Module:
    config = {"family": "llama", "layers": 1, "hidden_size": 16, "heads": 2, "context": CONTEXT}
    return build_model(config, byte_tokenizer().vocabulary_size, seed=0)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder, a GGUF file and an adapter, all tiny."""
    folder = tmp_path_factory.mktemp("models")
    module = small_model()
    LanguageModel(module, byte_tokenizer()).save(folder / "model")
    save_gguf(module, byte_tokenizer(), folder / "model.gguf", type="f32")
    add_lora(module, LoRAOptions(rank=1, alpha=1), seed=0)
    save_adapter(module, folder / "adapter", base="../model")
    byte_tokenizer().save(folder / "adapter")
    return folder


def copy_of(models: Path, name: str) -> Path:
    """A copy in the current folder, to be damaged."""
    source, target = models / name, Path(name)
    if source.is_file():
        target.write_bytes(source.read_bytes())
        return target
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def cut(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def write(name: str, text: str | bytes) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def write_notes(documents: int = 30) -> None:
    words = ["river", "stone", "light", "garden", "winter", "letter", "bridge", "music", "teacher", "market"]
    draw = random.Random(0)
    for number in range(documents):
        lines = [" ".join([f"{number * 7 + line}.", *draw.choices(words, k=draw.randint(5, 12))]) for line in range(20)]
        write(f"notes/{number}.txt", "\n".join(lines) + "\n")


def recipe(change: tuple[str, str] = ("", "")) -> str:
    assert change[0] in RECIPE
    write_notes()
    return write("small.toml", RECIPE.replace(*change) if change[0] else RECIPE)


# ---- one row a mistake: what prepares it and the command line; parts of the sentence

Prepare = Callable[[Path], list[object]]
CASES: dict[str, tuple[Prepare, tuple[str, ...]]] = {}


def case(*parts: str) -> Callable[[Prepare], Prepare]:
    def keep(prepare: Prepare) -> Prepare:
        CASES[prepare.__name__] = (prepare, parts)
        return prepare

    return keep


@case("docs: no readable document", "2 .odt", "1 .doc", "convert it to .txt", "Readable are")
def no_readable_document(models: Path) -> list[object]:
    for name in ("docs/a.odt", "docs/b.odt", "docs/c.doc"):
        write(name, b"\x00\x01")
    return ["corpus", "build", "docs", "-o", "corpus"]


@case("docs: no readable document", ".pdf")
def no_readable_document_for_init(models: Path) -> list[object]:
    write("docs/a.pdf", b"\x00\x01")
    return ["init", "docs"]


@case("nowhere: no such")
def quickstart_without_its_folder(models: Path) -> list[object]:
    return ["quickstart", "--data", "nowhere", "--minutes", 5]


@case("5, 12 or 60", "got 7")
def quickstart_of_another_length(models: Path) -> list[object]:
    return ["quickstart", "--minutes", 7]


@case("notes/b.jsonl:2", "not a JSON line", "--strict")
def malformed_line_under_strict(models: Path) -> list[object]:
    write("notes/b.jsonl", '{"text": "A good line, long enough to stay."}\n{"text": \n')
    return ["corpus", "build", "notes", "-o", "corpus", "--strict"]


@case("q.jsonl:2", "not a JSON line")
def malformed_line_among_questions(models: Path) -> list[object]:
    write("q.jsonl", '{"question": "1+1?", "answer": "2"}\n{"question"\n')
    return ["evaluate", models / "model", "--tasks", "file:q.jsonl", "-o", "results"]


@case("the two results have no common items", "a.jsonl holds 1 of items ('Why?'", "b.jsonl holds 2 of items ('How?'")
def comparison_of_results_without_common_items(models: Path) -> list[object]:
    write("a.jsonl", '{"question": "Why?", "score": 1}\n')
    write("b.jsonl", '{"question": "How?", "score": 1}\n{"question": "Where?", "correct": true}\n')
    return ["compare", "a.jsonl", "b.jsonl"]


@case("a.jsonl:1: not a sample", "score")
def comparison_of_lines_without_scores(models: Path) -> list[object]:
    write("a.jsonl", '{"question": "Why?"}\n')
    return ["compare", "a.jsonl", "a.jsonl"]


@case("seen.txt: no such training text")
def comparison_with_training_text_that_is_not_there(models: Path) -> list[object]:
    write("a.jsonl", '{"question": "Why?", "score": 1}\n')
    return ["compare", "a.jsonl", "a.jsonl", "--train", "seen.txt"]


@case("q.jsonl", "not UTF-8")
def questions_in_another_encoding(models: Path) -> list[object]:
    write("q.jsonl", b'{"question": "\xb5\xe7?", "answer": "2"}\n')
    return ["evaluate", models / "model", "--tasks", "file:q.jsonl", "-o", "results"]


@case("bits of a quantized weight", "expected 4 or 8", "got 3")
def quantization_to_three_bits(models: Path) -> list[object]:
    return ["quantize", models / "model", "-o", "small", "--bits", 3]


@case("unknown", "'gptqq'")
def quantization_by_an_unknown_method(models: Path) -> list[object]:
    return ["quantize", models / "model", "-o", "small", "--method", "gptqq"]


@case("NF4 has 4 bits", "--bits 4")
def quantization_of_nf4_in_eight_bits(models: Path) -> list[object]:
    return ["quantize", models / "model", "-o", "small", "--method", "nf4"]


@case("empty.txt: there is no text to measure with")
def quantization_measured_on_no_text(models: Path) -> list[object]:
    write("empty.txt", " \n")
    return ["quantize", models / "model", "-o", "small", "--text", "empty.txt"]


@case("small: the result has a place already")
def quantization_over_something(models: Path) -> list[object]:
    write("small/mine.txt", "mine")
    return ["quantize", models / "model", "-o", "small"]


@case("broken: the weights", "not numbers", "embed_tokens")
def quantization_of_no_numbers(models: Path) -> list[object]:
    module = small_model()
    with torch.no_grad():
        next(module.parameters()).fill_(math.nan)
    LanguageModel(module, byte_tokenizer()).save("broken")
    return ["quantize", "broken", "-o", "small"]


@case("unknown model 'nowhere'")
def server_with_no_draft(models: Path) -> list[object]:
    return ["serve", models / "model", "--draft", "nowhere", "--port", 0]


@case("small.toml [pretrain.decoder]", "unknown key 'batch_sise'", "Did you mean 'batch_size'?")
def unknown_key(models: Path) -> list[object]:
    return ["run", recipe(("batch_size", "batch_sise"))]


@case("small.toml [pretrain.decoder]", "unknown", "'layerz'", "Did you mean 'layers'?")
def unknown_key_of_the_model(models: Path) -> list[object]:
    return ["run", recipe(("layers", "layerz"))]


@case("small.toml", "unknown section 'pretrian'", "Did you mean 'pretrain'?")
def unknown_kind_of_section(models: Path) -> list[object]:
    return ["run", recipe(("[pretrain.", "[pretrian."))]


@case("'corpus' must name a section", "got corpus.txt", "Did you mean 'corpus.text'?")
def reference_to_no_section(models: Path) -> list[object]:
    return ["run", recipe(('corpus = "corpus.text"\nvocabulary', 'corpus = "corpus.txt"\nvocabulary'))]


@case("small.toml [pretrain.decoder]", "'batch_size'", "greater than or equal to 1", "got 0")
def value_out_of_range(models: Path) -> list[object]:
    return ["run", recipe(("batch_size = 2", "batch_size = 0"))]


@case("small.toml [pretrain.decoder]", "'batch_size'", "integer", "'many'")
def value_of_another_type(models: Path) -> list[object]:
    return ["run", recipe(("batch_size = 2", 'batch_size = "many"'))]


@case("small.toml [pretrain.decoder]", "'budget'", "exactly one of steps, tokens and seconds")
def two_budgets(models: Path) -> list[object]:
    return ["run", recipe(("{ steps = 2 }", "{ steps = 2, seconds = 3 }"))]


@case("unknown key 'batch_sise'", "Did you mean 'batch_size'?")
def unknown_key_on_the_command_line(models: Path) -> list[object]:
    return ["run", recipe(), "--set", "pretrain.decoder.batch_sise=4"]


@case("unknown section 'pretrain.decodr'", "Did you mean 'pretrain.decoder'?")
def unknown_section_on_the_command_line(models: Path) -> list[object]:
    return ["run", recipe(), "--set", "pretrain.decodr.batch_size=4"]


@case("--set", "kind.name.key=value", "batch_size 4")
def override_without_a_value(models: Path) -> list[object]:
    return ["run", recipe(), "--set", "batch_size 4"]


@case("unknown stage 'pretrain.decodr'", "Did you mean 'pretrain.decoder'?")
def only_an_unknown_stage(models: Path) -> list[object]:
    return ["run", recipe(), "--only", "pretrain.decodr"]


@case("small.toml: not valid TOML", "line 1")
def recipe_that_is_no_toml(models: Path) -> list[object]:
    return ["run", write("small.toml", "{'stages': 3}\n")]


@case("notes: a folder, not a file")
def recipe_that_is_a_folder(models: Path) -> list[object]:
    write_notes(1)
    return ["run", "notes"]


@case("small.toml [pretrain.decoder]", "'context' is longer than the model's", "at most 32", "got 64")
def rows_longer_than_the_context(models: Path) -> list[object]:
    return ["run", recipe(("batch_size = 2", "batch_size = 2\ncontext = 64"))]


@case("[evaluate.questions] none.jsonl: no such file")
def recipe_that_reads_a_missing_file(models: Path) -> list[object]:
    text = '[evaluate.questions]\nmodels = ["pretrain.decoder"]\ntasks = ["file:none.jsonl"]\n'
    write_notes(1)
    return ["run", write("small.toml", RECIPE + text)]


@case("[tune.sft]", "none.jsonl: no such file")
def tuning_on_a_missing_file(models: Path) -> list[object]:
    return ["tune", "sft", "--model", models / "model", "--data", "none.jsonl", "--steps", 1, "-o", "tuned"]


@case("vocabulary", "259 or more", "got 10")
def vocabulary_too_small(models: Path) -> list[object]:
    return ["tokenizer", "train", write("a.txt", "Some text.\n"), "-o", "tokenizer", "--vocabulary-size", 10]


@case("model: a model folder without weights", "model.safetensors")
def model_folder_without_weights(models: Path) -> list[object]:
    (copy_of(models, "model") / "model.safetensors").unlink()
    return ["score", "model", write("a.txt", "Some text.")]


@case("model: the weights are only in pytorch_model.bin", "pickle")
def model_folder_with_pickled_weights(models: Path) -> list[object]:
    folder = copy_of(models, "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return ["score", "model", write("a.txt", "Some text.")]


@case("pytorch_model.bin", "pickle")
def pickled_weights(models: Path) -> list[object]:
    return ["generate", write("pytorch_model.bin", b"\x80\x02."), "Some"]


@case("model/model.safetensors", "damaged or truncated")
def truncated_safetensors(models: Path) -> list[object]:
    cut(copy_of(models, "model") / "model.safetensors")
    return ["score", "model", write("a.txt", "Some text.")]


@case("model.gguf: the file is truncated", "Download it again")
def truncated_gguf(models: Path) -> list[object]:
    cut(copy_of(models, "model.gguf"), 0.9)
    return ["generate", "model.gguf", "Some"]


@case("model.gguf: the file is truncated", "header")
def truncated_header_of_a_gguf(models: Path) -> list[object]:
    cut(copy_of(models, "model.gguf"), 0.02)
    return ["generate", "model.gguf", "Some"]


@case("model.gguf: not a GGUF file")
def gguf_that_is_none(models: Path) -> list[object]:
    return ["inspect", write("model.gguf", b"<html>404 Not Found, and what else a server says</html>")]


@case("words.arpa", "cut")
def truncated_arpa(models: Path) -> list[object]:
    text = "\\data\\\nngram 1=3\n\n\\1-grams:\n-0.5\t<s>\n-0.5\t</s>\n"
    return ["generate", write("words.arpa", text), "the"]


@case("prompt does not fit", f"fewer than {CONTEXT} tokens", "got 80", "Shorten")
def prompt_longer_than_the_context(models: Path) -> list[object]:
    return ["generate", models / "model", "x" * 80]


@case("prompt does not fit", "Shorten")
def question_longer_than_the_context(models: Path) -> list[object]:
    return ["solve", models / "model", "x" * 80]


@case("unknown model 'smolm2'", "Did you mean 'smollm2'?")
def unknown_model(models: Path) -> list[object]:
    return ["generate", "smolm2", "Some"]


@case("runs/none/model", "no such")
def model_folder_that_is_not_there(models: Path) -> list[object]:
    return ["generate", "runs/none/model", "Some"]


@case("no endpoint", "openai:model@base_url")
def endpoint_without_an_address(models: Path) -> list[object]:
    return ["generate", "openai:gpt", "Some"]


@case("http://127.0.0.1:9/v1", "the endpoint does not answer")
def endpoint_asked_to_score(models: Path) -> list[object]:
    return ["score", "openai:gpt@http://127.0.0.1:9/v1", write("a.txt", "Some text.")]


@case("http://127.0.0.1:9/v1: the endpoint does not answer")
def endpoint_asked_for_likelihoods(models: Path) -> list[object]:
    write("q.jsonl", '{"question": "Which?", "choices": ["this", "that"], "answer": 0}\n')
    return ["evaluate", "openai:gpt@http://127.0.0.1:9/v1", "--tasks", "file:q.jsonl", "-o", "results"]


@case("unknown task 'arithmetics'", "Did you mean 'arithmetic'?")
def unknown_task(models: Path) -> list[object]:
    return ["evaluate", models / "model", "--tasks", "arithmetics", "-o", "results"]


@case("--tasks: no task is named", "arithmetic")
def no_task(models: Path) -> list[object]:
    return ["evaluate", models / "model", "--tasks", ",", "-o", "results"]


@case("unknown model family 'n-gram'", "Did you mean 'ngram'?")
def unknown_family(models: Path) -> list[object]:
    write_notes(1)
    return ["pretrain", "notes", "--family", "n-gram", "-o", "out"]


@case("-o: a run folder cannot have this name", "letters, digits, - and _", "got my.out")
def run_folder_of_another_name(models: Path) -> list[object]:
    write_notes(1)
    return ["pretrain", "notes", "--family", "ngram", "-o", "my.out"]


@case("notes: a folder, not a file")
def folder_of_sentences(models: Path) -> list[object]:
    write_notes(1)
    return ["ngram", "train", "notes", "-o", "words"]


@case("unknown way of asking 'few_shots'", "Did you mean 'few_shot'?")
def unknown_solver(models: Path) -> list[object]:
    return ["evaluate", models / "model", "--tasks", "arithmetic", "--solvers", "few_shots", "-o", "results"]


@case("unknown solver 'chain_of_thoughts'", "Did you mean 'chain_of_thought'?")
def unknown_solver_for_a_question(models: Path) -> list[object]:
    return ["solve", models / "model", "1+1?", "--solver", "chain_of_thoughts"]


@case("adapter", "base", "../model")
def adapter_without_its_base(models: Path) -> list[object]:
    copy_of(models, "adapter")
    return ["generate", "adapter", "Some"]


@case("adapter", "another model")
def adapter_of_another_model(models: Path) -> list[object]:
    from fourfold.files import read_json, write_json

    folder = copy_of(models, "adapter")
    config = {"family": "gpt2", "layers": 1, "hidden_size": 16, "heads": 2, "context": CONTEXT}
    LanguageModel(build_model(config, byte_tokenizer().vocabulary_size), byte_tokenizer()).save("other")
    write_json(
        folder / "adapter_config.json",
        read_json(folder / "adapter_config.json") | {"base_model_name_or_path": str(Path("other").resolve())},
    )
    return ["generate", "adapter", "Some"]


@case("no text to score")
def empty_text(models: Path) -> list[object]:
    return ["score", models / "model", write("a.txt", "")]


@case("notes: a folder, not a file")
def text_that_is_a_folder(models: Path) -> list[object]:
    write_notes(1)
    return ["score", models / "model", "notes"]


@case("a.txt: not UTF-8", "offset 5")
def text_that_is_no_utf8(models: Path) -> list[object]:
    return ["score", models / "model", write("a.txt", b"Some \xff text.")]


@case("out", "file")
def output_folder_that_is_a_file(models: Path) -> list[object]:
    write_notes(3)
    return ["corpus", "build", "notes", "-o", write("out", "mine")]


@case("runs", "file")
def runs_folder_that_is_a_file(models: Path) -> list[object]:
    write("runs", "mine")
    return ["run", recipe()]


@case("number type 'bf61'", "Did you mean 'bf16'?")
def unknown_number_type(models: Path) -> list[object]:
    return ["generate", models / "model", "Some", "--dtype", "bf61"]


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_in_one_sentence(name: str, call: Call, models: Path, tmp_path: Path) -> None:
    prepare, parts = CASES[name]
    words = prepare(models)
    before = files_in(tmp_path)
    outcome = call(*words)
    sentence = sentence_of(outcome)
    missing = [part for part in parts if part not in sentence]
    assert not missing, f"{missing} not in: {sentence}"
    assert outcome.out == ""
    assert files_in(tmp_path) == before
    debugged = call(*words, "--debug")
    assert debugged.code == outcome.code
    assert "Traceback (most recent call last)" in debugged.err
    assert debugged.errors[-1:] == outcome.errors


def test_misuse_of_a_command_is_one_sentence(call: Call) -> None:
    for words in (
        ["scoer"],
        ["score"],
        ["generate", "m", "p", "--max-tokens", "many"],
        ["run", "a.toml", "--onli", "x"],
    ):
        assert "--help" in sentence_of(call(*words))


def test_an_error_of_ours_is_exit_code_1(call: Call, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a wheel came off")

    monkeypatch.setattr("fourfold.cli.scoring.load_model", broken)
    words = ["score", "m", write("a.txt", "Some text.")]
    assert "RuntimeError: a wheel came off" in sentence_of(call(*words), code=1)
    assert "Traceback" in call(*words, "--debug").err


# ---- bad parts of good input are skipped, named and counted


def test_a_malformed_line_is_named_and_skipped(call: Call) -> None:
    write_notes()
    lines = [json.dumps({"text": f"Line {number} of a good file, long enough to stay."}) for number in range(6)]
    write("notes/b.jsonl", "\n".join([*lines[:3], '{"text": "cut o', '["no text"]', *lines[3:]]) + "\n")
    outcome = call("corpus", "build", "notes", "-o", "corpus")
    assert outcome.code == 0, outcome.err
    assert "skipped notes/b.jsonl:4: not a JSON line" in outcome.err
    assert "skipped notes/b.jsonl:5: not an object with a text" in outcome.err
    assert "left out 1 .jsonl: not a JSON line" in outcome.out
    card = json.loads(Path("corpus/card.json").read_text("utf-8"))
    assert [skip["count"] for skip in card["skipped"]] == [1, 1]
    assert sum(card["documents"].values()) >= 36


def test_html_without_its_reader_names_the_extra(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selectolax.parser", None)
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)
    monkeypatch.setitem(sys.modules, "selectolax", None)
    write("pages/a.html", "<p>A page with a sentence that is long enough.</p>")
    write("pages/b.html", "<p>Another page with a sentence that is long enough.</p>")
    outcome = call("corpus", "build", "pages", "-o", "corpus")
    sentence = sentence_of(outcome)
    assert "2 .html" in sentence
    assert "pip install 'fourfold[quickstart]'" in sentence
    assert not Path("corpus").exists()


def test_a_bad_conversation_is_named_and_skipped(call: Call, models: Path) -> None:
    good = {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Ho."}]}
    write("chats.jsonl", json.dumps(good) + '\n{"messages": 3}\n{"mess\n' + json.dumps(good) + "\n")
    outcome = call("tune", "sft", "--model", models / "model", "--data", "chats.jsonl", "--steps", 1, "-o", "tuned")
    assert outcome.code == 0, outcome.err
    assert "chats.jsonl:2: no turns" in outcome.err
    assert "chats.jsonl:3: not a JSON line" in outcome.err
    assert json.loads(Path("tuned/tune.sft/card.json").read_text("utf-8"))["examples"] == 2


# ---- what will not turn out well is said beforehand


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("openai:gpt@http://127.0.0.1:9/v1", ("behind an endpoint cannot be tuned", "hf:org/name")),
        ("words", ("no layers for low-rank deltas", "expected a transformer")),
    ],
)
def test_only_weights_that_are_here_and_take_deltas_are_tuned(call: Call, model: str, parts: tuple[str, ...]) -> None:
    write("a.txt", "one two three\n" * 20)
    assert call("ngram", "train", "a.txt", "-o", "words", "--order", 2).code == 0
    write("chats.jsonl", json.dumps({"instruction": "Hi?", "output": "Ho."}) + "\n")
    sentence = sentence_of(call("tune", "sft", "--model", model, "--data", "chats.jsonl", "--steps", 1, "-o", "tuned"))
    assert all(part in sentence for part in parts), sentence


def test_conversations_are_cut_at_the_context_of_the_model(call: Call, models: Path) -> None:
    write("chats.jsonl", json.dumps({"instruction": "Hi?", "output": "Ho. " * 50}) + "\n")
    outcome = call("tune", "sft", "--model", models / "model", "--data", "chats.jsonl", "--steps", 1, "-o", "tuned")
    assert outcome.code == 0, outcome.err
    assert f"reads {CONTEXT} tokens at most; longer conversations are cut there." in outcome.err


def test_too_little_memory_is_no_error_of_ours(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fourfold.cli.scoring.load_model", lambda *_: torch.empty(2**60, dtype=torch.uint8))
    assert "Not enough memory" in sentence_of(call("score", "m", write("a.txt", "Some text.")))


def test_a_short_budget_is_said(call: Call) -> None:
    outcome = call("run", recipe())
    assert outcome.code == 0, outcome.err
    said = r"decoder sees \d+% of your text; the 5-gram will win; train longer \(quickstart: --minutes 60\)"
    assert re.search(said, outcome.err)
    card = json.loads(Path("runs/small/pretrain.decoder/card.json").read_text("utf-8"))
    assert "the 5-gram will win" in card["warnings"][0]


def test_a_corpus_too_small_is_told_and_what_is_finished_stays(call: Call) -> None:
    write("notes/a.txt", "One short line is all.\n")
    Path("small.toml").write_text(RECIPE, "utf-8")
    sentence = sentence_of(call("run", "small.toml"))
    assert "the text is too short" in sentence
    assert "more text" in sentence
    assert Path("runs/small/corpus.text/done.json").is_file()
    assert not Path("runs/small/pretrain.decoder/done.json").exists()
    assert not half_written(Path("runs"))


def test_a_small_corpus_is_said_and_costs_only_what_it_cannot_fill(call: Call) -> None:
    more = """[generate.openings]
models = ["pretrain.counts"]
corpus = "corpus.text"
[evaluate.reading]
models = ["pretrain.counts"]
tasks = ["continuation"]
corpus = "corpus.text"
"""
    head, _, rest = RECIPE.partition("[pretrain.decoder]")
    counts = '[pretrain.counts]\nmodel = { family = "ngram", order = 2 }\ntokenizer = "tokenizer.bpe"\n'
    assert rest
    write_notes(3)
    outcome = call("run", write("small.toml", head + counts + 'corpus = "corpus.text"\n' + more))
    assert outcome.code == 0, outcome.err
    assert re.search(r"\d+ KB to learn from and \d+ KB held out are very little", outcome.err)
    assert "evaluate.reading leaves out a task: the held-out text is too short" in outcome.err
    assert json.loads(Path("runs/small/generate.openings/results.json").read_text("utf-8"))["openings"]
    assert Path("runs/small/report.html").is_file()


CHINESE = "历史经验告诉我们，任何技术都有两面性。今天的天气很好，我们一起去公园散步。"


def test_text_in_another_script_is_said_to_be_hard_to_read(call: Call) -> None:
    english = ["The people who came to the meeting had read the report before, and they agreed with it all."] * 9
    tokenizer = train_byte_bpe(english, 400)
    config = {"family": "llama", "layers": 1, "hidden_size": 16, "heads": 2, "context": 256}
    LanguageModel(build_model(config, tokenizer.vocabulary_size, seed=0), tokenizer).save("english")
    remark = re.compile(r"can hardly read .*\(\d\.\d\d tokens a Han character: this model is English-only\)\.")
    chat = [{"role": "user", "content": CHINESE}, {"role": "assistant", "content": CHINESE}]
    write("zh.txt", CHINESE)
    write("chats.jsonl", json.dumps({"messages": chat}) + "\n")
    write("pairs.jsonl", json.dumps({"prompt": CHINESE, "chosen": CHINESE, "rejected": "好。"}) + "\n")
    write("q.jsonl", json.dumps({"question": CHINESE, "choices": ["好", "不好"], "answer": 0}) + "\n")
    for number in range(9):
        write(f"zh/{number}.txt", f"第{number}篇。" + CHINESE)
    head = 'name = "zh"\n[corpus.text]\nsources = ["zh"]\n'
    write("zh.toml", head + '[score.all]\nmodels = ["english"]\ncorpus = "corpus.text"\nsplits = ["train"]\n')
    commands = (
        ["run", "zh.toml"],
        ["score", "english", "zh.txt"],
        ["evaluate", "english", "--tasks", "file:q.jsonl", "-o", "results"],
        ["tune", "sft", "--model", "english", "--data", "chats.jsonl", "--steps", 1, "-o", "sft"],
        ["tune", "dpo", "--model", "english", "--data", "pairs.jsonl", "--steps", 1, "-o", "dpo"],
    )
    for words in commands:
        outcome = call(*words)
        assert outcome.code == 0, outcome.err
        assert remark.search(outcome.err), outcome.err
    assert not remark.search(call("score", "english", write("en.txt", english[0])).err)


# ---- places that cannot be written


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system in memory; only root may."""
    mounted: list[Path] = []

    def do(options: str) -> Path:
        place = tmp_path / f"place{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if os.name == "nt" or os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a file system in memory can only be mounted by root on Linux")
        mounted.append(place)
        return place

    yield do
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_no_half_file(call: Call, mount: Callable[[str], Path]) -> None:
    full = mount("size=200k")
    write_notes(400)
    outcome = call("corpus", "build", "notes", "-o", full / "corpus")
    assert "the disk is full" in sentence_of(outcome)
    assert not half_written(full)
    assert not (full / "corpus" / "card.json").exists()


def test_a_full_disk_keeps_the_finished_stages_of_a_run(call: Call, mount: Callable[[str], Path]) -> None:
    runs = mount("size=2m")
    words = ["run", recipe(("hidden_size = 16", "hidden_size = 256")), "--runs", runs]
    sentence = sentence_of(call(*words))
    assert "the disk is full" in sentence
    assert "finished work is kept" in sentence
    assert not half_written(runs)
    done = {name: (runs / "small" / name / "done.json").read_bytes() for name in ("corpus.text", "tokenizer.bpe")}
    subprocess.run(["mount", "-o", "remount,size=64m", str(runs)], check=True)
    outcome = call(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("done before") == 2
    assert done == {name: (runs / "small" / name / "done.json").read_bytes() for name in done}


def test_a_folder_that_may_not_be_written_is_named(
    call: Call, request: pytest.FixtureRequest, tmp_path: Path, models: Path
) -> None:
    closed = tmp_path / "closed"
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # who may write everywhere but on a read-only file system
        closed = request.getfixturevalue("mount")("ro")
    else:
        closed.mkdir(mode=0o555)
    for words in (
        ["run", recipe(), "--runs", closed],
        ["corpus", "build", "notes", "-o", closed / "corpus"],
        ["tokenizer", "train", "notes/1.txt", "-o", closed / "tokenizer"],
        ["convert", models / "model", closed / "model.gguf"],
        ["ngram", "train", "notes/1.txt", "-o", closed / "words.arpa"],
        ["init", "notes", "-o", closed / "notes.toml"],
    ):
        sentence = sentence_of(call(*words))
        assert str(closed) in sentence
        assert "may not write here" in sentence
    assert not list(closed.iterdir())


def test_a_chat_outlives_a_question_too_long_and_a_place_it_cannot_save_to(
    call: Call, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("taken", "a file")
    lines = ["x" * 200, "Hi", "/save taken/talk.jsonl", "/save talk.jsonl"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    outcome = call("chat", models / "model", "--max-tokens", 2, "--seed", 1)
    assert outcome.code == 0, outcome.err
    assert "the prompt does not fit the model's context" in outcome.err
    assert "taken/talk.jsonl: a file stands where a folder is needed" in outcome.err
    (saved,) = [json.loads(line) for line in Path("talk.jsonl").read_text("utf-8").splitlines()]
    assert [turn["content"] for turn in saved["messages"]][:1] == ["Hi"]


def test_a_damaged_run_does_not_hide_the_others(call: Call) -> None:
    write("runs/broken/manifest.json", "{")
    sitting = {"started": "2026-01-01", "outcome": "finished"}
    write("runs/whole/manifest.json", json.dumps({"sittings": [sitting], "stages": {}, "order": []}))
    outcome = call("runs", "list")
    assert outcome.code == 0, outcome.err
    assert "whole" in outcome.out
    assert "broken/manifest.json:1: not valid JSON" in outcome.err


# ---- two at a time, and stopping


def test_a_run_folder_in_use_is_left_alone(call: Call) -> None:
    words = ["run", recipe()]
    with lock_folder(Path("runs/small")):
        before = files_in(Path("runs"))
        sentence = sentence_of(call(*words))
        assert files_in(Path("runs")) == before
    assert "another process is working in this folder" in sentence
    assert str(Path("runs/small")) in sentence


@pytest.mark.skipif(os.name == "nt", reason="signals to a child work differently on Windows")
def test_ctrl_c_prints_the_command_that_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", recipe(("steps = 2 ", "steps = 1000000 ")), "--runs", "my runs"]
    program = [sys.executable, "-c", "from fourfold.cli import main; main()", *words]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = Path("my runs/small/pretrain.decoder/metrics.jsonl")
    deadline = time.monotonic() + 60
    while not (metrics.is_file() and metrics.stat().st_size) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "finished work is kept" in err
    (command,) = re.findall(r"fourfold run .*", err)
    again = shlex.split(command.rstrip("."))
    assert again[:2] == ["fourfold", "run"]
    assert Path(again[2]).is_file()
    assert again[3:] == ["--runs", "my runs"]
    assert list(Path("my runs/small/pretrain.decoder/checkpoints").glob("step-*"))
    assert not half_written(Path("my runs"))
