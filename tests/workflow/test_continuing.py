"""Going on from a model: new tokens, replay, a batch that grows, noise; and the same bits when it is resumed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import fourfold
from fourfold.errors import UserError
from fourfold.inference import LanguageModel
from fourfold.models import build_model, is_packed
from fourfold.models.files import save_gguf
from fourfold.tokenizers import Tokenizer, byte_tokenizer, train_byte_bpe
from fourfold.workflow import parse_recipe, run_recipe
from fourfold.workflow.training import Totals

WORDS = ["ledger", "trustee", "estate", "covenant", "lessee", "hereinafter", "escrow", "the", "of", "shall"]
OTHER = ["river", "stone", "light", "garden", "winter", "bridge", "music", "over", "near", "a"]

RECIPE = """
name = "go-on"
seed = 3
[corpus.law]
sources = ["{folder}/law"]
sample_bytes = 3000
filters = []
[corpus.plain]
sources = ["{folder}/plain"]
sample_bytes = 3000
filters = []
[pretrain.more]
model = "{folder}/model"
corpus = "corpus.law"
new_tokens = 40
replay = "corpus.plain"
replay_share = 0.25
batch_size = 8
ramp = {{ start = 2, steps = 6 }}
context = 32
optimizer = {{ lr = 3e-3 }}
budget = {{ tokens = 3000 }}
checkpoint = {{ steps = 3 }}
curve = {{ points = 2, bytes = 600, noise_batches = 4 }}
"""


def write_texts(folder: Path) -> None:
    draw = random.Random(0)
    for name, words in (("law", WORDS), ("plain", OTHER)):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            lines = [f"{number}. " + " ".join(draw.choices(words, k=9)) + "." for _ in range(12)]
            (folder / name / f"{number}.txt").write_text("\n".join(lines), "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two texts, and a model with a vocabulary of the second."""
    folder = tmp_path_factory.mktemp("go-on")
    write_texts(folder)
    texts = [path.read_text("utf-8") for path in sorted((folder / "plain").glob("*.txt"))]
    tokenizer = train_byte_bpe(texts, 300)
    table = {"family": "llama", "layers": 1, "hidden_size": 32, "heads": 2, "context": 64}
    LanguageModel(build_model(table, tokenizer.vocabulary_size, seed=0), tokenizer).save(folder / "model")
    return folder


@pytest.fixture(scope="module")
def ended(folder: Path) -> Path:
    run_recipe(parse_recipe(RECIPE.format(folder=folder)), folder / "runs")
    return folder / "runs" / "go-on" / "pretrain.more"


def card_of(stage: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((stage / "card.json").read_text("utf-8"))
    return card


class Crash(Exception):
    pass


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_text_is_learnt_and_the_model_loads(ended: Path) -> None:
    scores = card_of(ended)["bits_per_byte"]
    groups = scores["before"].keys()
    assert any(group.startswith("replayed") for group in groups)
    assert any(not group.startswith("replayed") for group in groups)
    assert all(scores["after"][group] < scores["before"][group] for group in groups)
    model = fourfold.load(ended / "model")
    assert isinstance(model, LanguageModel)
    assert isinstance(model.tokenizer, Tokenizer)
    assert model.module.vocabulary_size == model.tokenizer.vocabulary_size == 340
    assert card_of(ended)["new_tokens"] == 40


def test_the_batch_grows_and_the_noise_is_told(ended: Path) -> None:
    metrics = rows(ended / "metrics.jsonl")
    tokens = [row["step"] for row in metrics]
    assert tokens == list(range(1, len(metrics) + 1))
    # 2, 3, 4, 5, 6, 7, then 8 rows of 32 tokens until 3,000 are read
    sizes = [2, 3, 4, 5, 6, 7, *[8] * 99]
    needed = next(n for n in range(1, 99) if sum(sizes[:n]) * 32 >= 3000)
    assert len(metrics) == needed
    curve = rows(ended / "curve.jsonl")
    assert curve[-1]["tokens"] == sum(sizes[:needed]) * 32
    assert all(set(row["noise"]) <= {"gradient_noise_scale"} for row in curve)
    assert any(row["noise"] for row in curve)


def test_a_resumed_training_ends_in_the_same_bits(folder: Path, ended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, runs, add = parse_recipe(RECIPE.format(folder=folder)), folder / "cut", Totals.add
    left = 0

    def crash(self: Totals, step: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash
        add(self, step)

    for left in (2, 8):  # noqa: B007  # how many steps the process lives
        monkeypatch.setattr(Totals, "add", crash)
        with pytest.raises(Crash):
            run_recipe(recipe, runs)
    monkeypatch.undo()
    run_recipe(recipe, runs)
    stage = runs / "go-on" / "pretrain.more"
    assert (stage / "model" / "model.safetensors").read_bytes() == (ended / "model" / "model.safetensors").read_bytes()
    times = ("seconds", "tokens_per_second")
    for name in ("metrics.jsonl", "curve.jsonl"):
        whole, cut = ([{k: v for k, v in row.items() if k not in times} for row in rows(p / name)]
                      for p in (ended, stage))  # fmt: skip
        assert whole == cut
    shutil.rmtree(runs)


def test_two_processes_go_on_as_one_does(folder: Path, ended: Path, run_all: Any) -> None:
    """New tokens, replay, a growing batch whose 2, 3, … rows two processes share, and the noise scale."""
    (folder / "go-on.toml").write_text(RECIPE.format(folder=folder), "utf-8")
    words = ["-m", "fourfold", "run", folder / "go-on.toml", "--runs", folder / "shared"]
    ends = run_all(2, *words, "--set", "pretrain.more.parallel.data=2", "--set", "pretrain.more.parallel.shard=zero2")
    assert [code for code, _ in ends] == [0, 0], ends[0][1]
    stage = folder / "shared" / "go-on" / "pretrain.more"
    for name, key in (("metrics.jsonl", "loss"), ("metrics.jsonl", "gradient_norm"), ("curve.jsonl", "tokens")):
        found = [[row[key] for row in rows(place / name)] for place in (stage, ended)]
        assert found[0] == pytest.approx(found[1], rel=5e-3)  # bf16
    noises = [[row["noise"] for row in rows(place / "curve.jsonl")] for place in (stage, ended)]
    assert all(one == pytest.approx(other, rel=0.1) for one, other in zip(*noises, strict=True))
    scores = [card_of(place)["bits_per_byte"] for place in (stage, ended)]
    assert scores[0]["before"] == scores[1]["before"]
    assert scores[0]["after"] == pytest.approx(scores[1]["after"], abs=5e-3)
    assert fourfold.load(stage / "model").tokenizer.vocabulary_size == 340


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("start = 2,", "start = 8,"), "the ramp does not rise"),
        (("{ tokens = 3000 }", "{ seconds = 3 }"), "a ramp needs a budget in steps or tokens"),
        (('replay = "corpus.plain"', 'replay = "corpus.plane"'), "Did you mean 'corpus.plain'?"),
        (('corpus = "corpus.law"', 'corpus = "corpus.law"\ntokenizer = "corpus.law"'), "keeps its tokenizer"),
        (("new_tokens = 40", "new_tokens = -1"), "greater than or equal to 0"),
        (("\ncontext = 32", '\ncontext = 32\nobjective = { kind = "masked" }'), "by predicting the next token"),
    ],
)
def test_mistakes_in_the_recipe_are_one_sentence(folder: Path, change: tuple[str, str], sentence: str) -> None:
    text = RECIPE.format(folder=folder)
    assert change[0] in text
    with pytest.raises(UserError, match=sentence.replace("?", r"\?")):
        parse_recipe(text.replace(*change))


def test_a_model_without_weights_of_its_own_is_refused(folder: Path) -> None:
    text = RECIPE.format(folder=folder).replace(f"{folder}/model", "openai:gpt@http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="cannot be trained on"):
        run_recipe(parse_recipe(text), folder / "endpoint")


def test_a_replayed_text_that_is_used_up_is_warned_about(
    folder: Path, tmp_path: Path, remarks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fourfold.workflow.pretraining.fitting.MANY_EPOCHS", 1)
    text = RECIPE.format(folder=folder).replace("replay_share = 0.25", "replay_share = 0.9")
    (tmp_path / "few").mkdir()
    for number in range(3):
        shutil.copy(folder / "plain" / f"{number}.txt", tmp_path / "few")
    run_recipe(parse_recipe(text.replace(f"{folder}/plain", f"{tmp_path}/few")), tmp_path)
    (said,) = [remark for remark in remarks if "times over" in remark]
    assert "reads the replayed text" in said
    assert card_of(tmp_path / "go-on" / "pretrain.more")["warnings"] == [said.removeprefix("model, gone on ")]


def test_a_model_in_few_bits_is_gone_on_from(folder: Path, tmp_path: Path) -> None:
    whole = fourfold.load(folder / "model", dtype="fp32")
    save_gguf(whole.module, whole.tokenizer, tmp_path / "small.gguf", "q8_0", name="small")
    text = RECIPE.format(folder=folder).replace(f"{folder}/model", f"{tmp_path}/small.gguf")
    run_recipe(parse_recipe(text), tmp_path / "runs")
    trained = fourfold.load(tmp_path / "runs" / "go-on" / "pretrain.more" / "model")
    assert not is_packed(trained.module)
    assert trained.module.config.vocabulary_size > whole.module.config.vocabulary_size


def test_a_double_of_bytes_keeps_its_rows(folder: Path, tmp_path: Path) -> None:
    """Without new tokens every weight begins as it was."""
    from fourfold.models import widen_vocabulary

    module = build_model({"family": "gpt2", "layers": 1, "hidden_size": 16, "heads": 2, "context": 16},
                         byte_tokenizer().vocabulary_size, seed=0)  # fmt: skip
    copy = widen_vocabulary(module, {})
    for name, value in module.state_dict().items():
        assert torch.equal(copy.state_dict()[name], value)
