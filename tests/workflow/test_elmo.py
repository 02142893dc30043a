"""ELMo by a recipe: both directions learnt through the one loop, stopped and gone on with, then two tasks on it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

import fourfold
import fourfold.training
from fourfold.cli.recipe_plan import plan_recipe
from fourfold.errors import UserError
from fourfold.files import write_jsonl
from fourfold.inference import ContextEncoder
from fourfold.models.elmo import ElmoConfig, ElmoLM, FeatureClassifier
from fourfold.workflow import parse_recipe, run_recipe

RECIPE = """
name = "small"
seed = 3
[corpus.text]
sources = ["{folder}"]
sample_bytes = 2000
held_out_fraction = 0.2
filters = []
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 400
[pretrain.elmo]
model = {{ family = "elmo", layers = 2, hidden_size = 16, context = 32, dropout = 0.1{input} }}
objective = {{ kind = "both-directions" }}
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
batch_size = 4
optimizer = {{ lr = 1e-2 }}
budget = {{ steps = {steps} }}
checkpoint = {{ steps = 4 }}
curve = {{ points = 2 }}
"""
TASKS = """
[finetune.mood]
model = "pretrain.elmo"
task = "classification"
data = "{moods}"
optimizer = {{ lr = 2e-2 }}
budget = {{ steps = 60 }}
[finetune.words]
model = "pretrain.elmo"
task = "tagging"
data = "{tags}"
compare = false
optimizer = {{ lr = 2e-2 }}
budget = {{ steps = 40 }}
"""
ADJECTIVES = {"glad": ["bright", "warm", "merry"], "sad": ["grey", "cold", "weary"]}
SPELT = ", characters = { width = 8, filters = [[1, 8], [3, 8]] }"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    draw, folder = random.Random(2), tmp_path / "texts"
    folder.mkdir()
    moods, tags = [], []
    for number in range(60):
        mood = draw.choice(sorted(ADJECTIVES))
        words = ["the", draw.choice(ADJECTIVES[mood]), draw.choice(["house", "road", "garden"]), "sleeps"]
        moods.append({"text": " ".join(words), "label": mood})
        tags.append({"tokens": words, "tags": ["article", mood, "noun", "verb"]})
        (folder / f"{number}.txt").write_text(f"{number}: " + ". ".join([" ".join(words)] * 6), "utf-8")
    write_jsonl(tmp_path / "moods.jsonl", moods)
    write_jsonl(tmp_path / "tags.jsonl", tags)
    return tmp_path


def text_of(place: Path, spelling: str = "", steps: int = 10, tasks: bool = False) -> str:
    found = RECIPE.format(folder=place / "texts", input=spelling, steps=steps)
    return found + (TASKS.format(moods=place / "moods.jsonl", tags=place / "tags.jsonl") if tasks else "")


@pytest.mark.parametrize("spelling", ["", SPELT], ids=["vectors", "characters"])
def test_both_directions_learn_and_are_loaded(recipe: Path, spelling: str) -> None:
    run = run_recipe(parse_recipe(text_of(recipe, spelling)), recipe / "runs").folder / "pretrain.elmo"
    curve = [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]
    assert set(curve[-1]["held_out"]) == {"forward", "backward"}
    assert all(curve[-1]["held_out"][side] < curve[0]["held_out"][side] for side in ("forward", "backward"))
    elmo = fourfold.load(run / "model")
    assert isinstance(elmo, ContextEncoder)
    assert elmo.states(["the bright road"])[0].shape[::2] == (3, 32)
    if spelling:
        spelt, the = elmo.module.embedding.get_buffer("spelling"), elmo.tokenizer.encode_ordinary(" the")[0]
        token = elmo.tokenizer.token_bytes(the)
        assert spelt[the, 1 : 1 + len(token)].tolist() == [float(byte) for byte in token]


def test_a_training_that_crashed_ends_in_the_same_bits(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_recipe(parse_recipe(text_of(recipe)), recipe / "whole").folder
    real = fourfold.training.save_checkpoint

    def save_until(folder: Path, module: Any, optimizer: Any, step: int, *more: Any, **others: Any) -> Any:
        if step == 8:
            raise RuntimeError
        return real(folder, module, optimizer, step, *more, **others)

    monkeypatch.setattr(fourfold.training, "save_checkpoint", save_until)
    with pytest.raises(RuntimeError):
        run_recipe(parse_recipe(text_of(recipe)), recipe / "parts")
    monkeypatch.undo()
    again = run_recipe(parse_recipe(text_of(recipe)), recipe / "parts").folder
    weights = "pretrain.elmo/model/model.safetensors"
    assert (again / weights).read_bytes() == (whole / weights).read_bytes()


def test_tasks_learn_on_its_states_and_come_back_as_classifiers(recipe: Path) -> None:
    run = run_recipe(parse_recipe(text_of(recipe, tasks=True)), recipe / "runs").folder
    found = json.loads((run / "finetune.mood" / "results.json").read_text())
    assert "from random weights" in found["sentence"]
    base = fourfold.load(run / "pretrain.elmo" / "model")
    tuned = fourfold.load(run / "finetune.mood" / "model")
    assert isinstance(base, ContextEncoder)
    assert isinstance(tuned, ContextEncoder)
    assert isinstance(tuned.classifier, FeatureClassifier)
    assert tuned.labels == ("glad", "sad")
    for name, tensor in base.module.state_dict().items():  # features: what was pre-trained stays
        assert torch.equal(tensor, tuned.module.state_dict()[name])
    texts = ["the merry house sleeps", "the weary garden sleeps"]
    assert [tuned.labels[int(scores.argmax())] for scores in tuned.classify(texts)] == ["glad", "sad"]
    words = fourfold.load(run / "finetune.words" / "model")
    assert isinstance(words, ContextEncoder)
    tokens = len(words.tokenizer.encode_ordinary(texts[0]))
    assert words.classify(texts)[0].shape == (tokens, len(words.labels))
    with pytest.raises(UserError, match="has learnt no classes"):
        base.classify(texts)


def test_a_plan_counts_both_directions(recipe: Path) -> None:
    path = recipe / "elmo.toml"
    path.write_text(text_of(recipe), "utf-8")
    stages = {row["stage"]: row for row in plan_recipe(path, [])["stages"]}
    module = ElmoLM(ElmoConfig(vocabulary_size=400, hidden_size=16, context=32))
    assert stages["pretrain.elmo"]["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    layers = sum(p.numel() for name, p in module.named_parameters() if "layers" in name)
    # Three times the forward pass, two operations a weight: the layers of both directions, the softmax of each.
    assert stages["pretrain.elmo"]["train_flops"] == 10 * 4 * 32 * 3 * 2 * (layers + 2 * 400 * 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("both-directions", "masked"), "does not fit a model that is both-directions"),
        (('family = "elmo"', 'family = "llama"'), "does not fit a model that is causal"),
        (("layers = 2", "layers = 0"), "layers is out of range"),
    ],
)
def test_what_elmo_cannot_do_is_refused_with_the_recipe(recipe: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_recipe(text_of(recipe).replace(*change))


def test_texts_are_no_tasks_for_features(recipe: Path) -> None:
    text = text_of(recipe, tasks=True).replace('task = "classification"', 'task = "seq2seq"')
    write_jsonl(recipe / "moods.jsonl", [{"source": f"a {number}", "target": "b"} for number in range(40)])
    with pytest.raises(UserError, match="an encoder writes no text"):
        run_recipe(parse_recipe(text), recipe / "runs")
