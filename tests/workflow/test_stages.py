"""Every kind of stage on a tiny text, through the runner, and again after a crash."""

import json
import random
from pathlib import Path

import pytest
import torch

import fourfold
import fourfold.errors
from fourfold.workflow import parse_recipe, run_recipe
from fourfold.workflow.pretraining import budget_warnings
from fourfold.workflow.stages import KINDS, tune
from fourfold.workflow.stages.generate import beginning

WORDS = ["the", "a", "fox", "dog", "cat", "runs", "jumps", "sleeps", "over", "near", "river", "quickly", "then"]

RECIPE = """
name = "small"
seed = 5
[corpus.text]
sources = ["{folder}"]
sample_bytes = 6000
held_out_fraction = 0.2
filters = []
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 300
[pretrain.trigram]
model = {{ family = "ngram", order = 3 }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
[pretrain.lstm]
model = {{ family = "lstm", layers = 1, hidden_size = 16, context = 32 }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 4
budget = {{ tokens = 500 }}
curve = {{ points = 2 }}
[pretrain.decoder]
model = {{ family = "llama", layers = 1, hidden_size = 32, heads = 2, kv_heads = 1, context = 64 }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 4
budget = {{ steps = 6 }}
checkpoint = {{ steps = 2 }}
curve = {{ points = 2 }}
[score.all]
models = ["pretrain.trigram", "pretrain.lstm", "pretrain.decoder"]
corpus = "corpus.text"
[generate.openings]
models = ["pretrain.trigram", "pretrain.decoder"]
corpus = "corpus.text"
texts = ["the fox "]
openings = 1
opening_characters = 300
max_tokens = 5
[data.calls]
kind = "calculator"
examples = 12
[tune.sft]
method = "sft"
model = "pretrain.decoder"
data = ["data.calls"]
replay = ["{chats}"]
replay_share = 0.25
context = 64
batch_size = 4
peft = {{ rank = 2 }}
budget = {{ steps = 4 }}
checkpoint = {{ steps = 1 }}
[tune.dpo]
method = "dpo"
model = "tune.sft"
data = ["{preferences}"]
context = 64
batch_size = 2
peft = {{ rank = 2 }}
budget = {{ steps = 2 }}
[evaluate.reading]
models = ["pretrain.trigram", "pretrain.decoder", "tune.dpo"]
tasks = ["continuation"]
corpus = "corpus.text"
limit = 3
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    draw = random.Random(0)
    for number in range(60):
        lines = [" ".join(draw.choices(WORDS, k=12)).capitalize() + "." for _ in range(12)]
        (folder / f"{number}.txt").write_text("\n".join(lines), "utf-8")
    others = tmp_path_factory.mktemp("others")
    chat = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]}
    (others / "chats.jsonl").write_text(json.dumps(chat) + "\n")
    pair = {"prompt": "Hello", "chosen": "Hi.", "rejected": "Hello to you, and then some more."}
    (others / "preferences.jsonl").write_text((json.dumps(pair) + "\n") * 3)
    values = {name: (others / f"{name}.jsonl").as_posix() for name in ("chats", "preferences")}
    return parse_recipe(RECIPE.format(folder=folder.as_posix(), **values))


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    return run_recipe(recipe, tmp_path_factory.mktemp("runs")).folder


def read(path: Path):
    return json.loads(path.read_text("utf-8"))


def lines(path: Path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_stage_is_done_and_leaves_no_work_behind(recipe, run):
    for stage in recipe.stages:
        assert (run / stage.full_name / "done.json").is_file()
        assert not (run / stage.full_name / "work.json").exists()
        assert not (run / stage.full_name / "checkpoints").exists()
    assert {stage.kind for stage in recipe.stages} == set(KINDS) - {"finetune"}  # test_finetune.py has it


def test_tokenizer_card(run):
    card = read(run / "tokenizer.bpe" / "card.json")
    assert card["vocabulary_size"] == 300
    assert all(value > 1 for value in card["bytes_per_token"].values())
    for sample, pieces in card["examples"].items():
        text = (run / "corpus.text" / "samples" / f"{sample}.txt").read_text("utf-8")
        assert text.strip().startswith("".join(pieces))


def test_pretrain_cards_and_curves(run):
    trigram, lstm, decoder = (read(run / f"pretrain.{name}" / "card.json") for name in ("trigram", "lstm", "decoder"))
    generations = [card["generation"] for card in (trigram, lstm, decoder)]
    assert generations == ["statistical", "neural", "pre-trained"]
    assert trigram["label"] == "3-gram"
    assert lstm["steps"] == 4
    assert decoder["tokens_seen"] == 6 * 4 * 64
    assert "% of your text" in "".join(decoder["warnings"])
    curve = lines(run / "pretrain.decoder" / "curve.jsonl")
    assert [row["step"] for row in curve] == [1, 6]
    assert len(lines(run / "pretrain.trigram" / "curve.jsonl")) == 1


def test_the_last_point_of_the_curve_is_the_score_of_the_saved_model(run):
    (row,) = [
        row
        for row in read(run / "score.all" / "results.json")["rows"]
        if row["model"] == "pretrain.decoder" and row["split"] == "test"
    ]
    last = lines(run / "pretrain.decoder" / "curve.jsonl")[-1]
    assert last["bits_per_byte"][row["sample"]] == pytest.approx(row["bits_per_byte"], rel=1e-6)


def test_scores_of_test_and_train_for_every_model(run):
    rows = read(run / "score.all" / "results.json")["rows"]
    assert len(rows) == 3 * 2
    assert all(row["low"] <= row["bits_per_byte"] <= row["high"] for row in rows)
    assert {row["label"] for row in rows} >= {"3-gram"}


def test_openings_are_continued_by_every_model(run):
    openings = read(run / "generate.openings" / "results.json")["openings"]
    assert openings[0]["text"] == "the fox "
    assert [row["model"] for row in openings[1]["rows"]] == ["pretrain.trigram", "pretrain.decoder"]
    assert not (run / "generate.openings" / "rows.jsonl").exists()
    held_out = [document["id"] for document in lines(run / "corpus.text" / "test.jsonl")]
    assert openings[1]["source"] in held_out
    assert 10 < len(openings[1]["text"]) < 290  # cut to the decoder's context of 64 tokens


def test_a_stacked_adapter_loads_as_the_model_that_was_trained(run):
    card = read(run / "tune.dpo" / "card.json")
    assert (card["method"], card["base"], card["steps"]) == ("dpo", "tune.sft", 2)
    assert read(run / "tune.sft" / "card.json")["replay_share"] == 0.25
    config = read(run / "tune.dpo" / "adapter" / "adapter_config.json")
    assert config["base_model_name_or_path"] == "../../pretrain.decoder/model"
    assert config["r"] == 4
    texts = ["the fox jumps over the dog"]
    scores = {}
    for name, folder in (("base", "pretrain.decoder/model"), ("sft", "tune.sft/adapter"), ("dpo", "tune.dpo/adapter")):
        scores[name] = fourfold.load(str(run / folder)).score(texts)[0].total
    assert len(set(scores.values())) == 3


def test_evaluation_rows(run):
    results = read(run / "evaluate.reading" / "results.json")
    assert [row["model"] for row in results["rows"]] == ["pretrain.trigram", "pretrain.decoder", "tune.dpo"]
    assert all(row["chance"] == 0.25 for row in results["rows"])
    assert len(results["comparisons"]) == 3


class Crash(Exception):
    pass


def test_a_run_that_crashed_while_tuning_ends_in_the_same_weights(recipe, run, tmp_path, monkeypatch):
    import fourfold.training

    real, calls = fourfold.training.save_checkpoint, []

    def save_until(folder, *args, **options):
        calls.append(folder)
        if folder.parent.name == "tune.sft" and len([c for c in calls if c == folder]) == 3:
            raise Crash
        return real(folder, *args, **options)

    monkeypatch.setattr(fourfold.training, "save_checkpoint", save_until)
    with pytest.raises(Crash):
        run_recipe(recipe, tmp_path)
    monkeypatch.undo()
    assert len(list((tmp_path / "small" / "tune.sft" / "checkpoints").iterdir())) == 2
    result = run_recipe(recipe, tmp_path)
    assert next(stage.name for stage in result.stages if not stage.skipped) == "tune.sft"
    for path in ("pretrain.decoder/model/model.safetensors", "tune.dpo/adapter/adapter_model.safetensors"):
        assert (result.folder / path).read_bytes() == (run / path).read_bytes()


def test_preferences_and_conversations_are_not_mixed_up(run, recipe):
    class Context:
        name = "tune.x"
        stages = {"data.p": run / "data.calls"}  # noqa: RUF012 - a double, made once

        def path(self, name):
            return self.stages.get(name, Path(name))

    with pytest.raises(fourfold.errors.UserError, match=r"makes conversations\.jsonl"):
        tune.data_file(Context(), "data.p", "dpo")


@pytest.mark.parametrize(("seen", "warned"), [(10, True), (49, True), (50, False), (500, False)])
def test_too_short_a_budget_is_warned_about(seen, warned):
    warnings = budget_warnings(seen, 100)
    assert bool(warnings) == warned
    if warned:
        assert f"{seen}% of your text" in warnings[0]


def test_an_opening_ends_with_a_whole_word_and_chinese_is_cut_anywhere():
    assert beginning("one two three four", 12) == "one two"
    assert beginning("狐狸跳过了懒狗然后睡觉", 6) == "狐狸跳过了懒"


def test_threads_are_left_alone(run):
    assert read(run / "manifest.json")["machine"]["threads"] == torch.get_num_threads()
