"""`fourfold plan` on published shapes, without a probe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.cli.app import run

Plan = Callable[..., dict[str, Any]]


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    from fourfold.pretraining import Speed

    probe = Speed(seconds=660.0, spread=120.0, how="a fixed probe")
    monkeypatch.setattr("fourfold.pretraining.measure_speed", lambda job, precision: probe)
    monkeypatch.setattr("fourfold.pretraining.machine_memory", lambda: 15_600_000_000)
    monkeypatch.chdir(tmp_path)

    def do(*words: object) -> dict[str, Any]:
        assert run(["plan", *map(str, words), "--json"]) == 0
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return do


def test_experts_are_planned_by_what_is_active(plan: Plan) -> None:
    found = plan("mixtral:8x7b", "--for", "score", "--context", 1024, "--tokens", "1M")
    assert (found["parameters"], found["parameters_active"]) == (46_702_792_704, 12_879_925_248)
    assert found["flops_per_token"] == pytest.approx(2 * 12.9e9, rel=0.05)
    assert found["published"] == "47B"
    assert abs(found["published_difference"]) < 0.01
    assert "Jiang et al. 2024" in found["source"]


def test_an_encoder_decoder_is_planned(plan: Plan) -> None:
    found = plan("t5:11b", "--tokens", "1B")
    assert found["parameters"] == 11_307_321_344
    assert found["memory"]["gradients"] > 0
    assert found["verdict"].startswith("does not fit: ")
    assert "seconds" not in found  # nothing was timed


def test_recomputing_takes_less_memory_and_more_operations(plan: Plan) -> None:
    words = ("gpt2:355m", "--batch-size", 8, "--tokens", "1M")
    plain, again = plan(*words), plan(*words, "--recompute")
    assert again["memory"]["activations"] < plain["memory"]["activations"] / 4
    assert again["train_flops"] == pytest.approx(plain["train_flops"] * 4 / 3)


@pytest.mark.parametrize(
    "reference", ["bert:base", "glm:130b", "gemma3:27b", "all-minilm:l6", "phi:2", "qwen3:30b-a3b"]
)
def test_every_kind_of_architecture_has_a_plan(plan: Plan, reference: str) -> None:
    for purpose in ("train", "tune", "score"):
        found = plan(reference, "--for", purpose, "--tokens", "1M", "--context", 128)
        assert found["memory_bytes"] == sum(found["memory"].values())
        assert found["train_flops"] == pytest.approx(found["flops_per_token"] * 1e6)


RECIPE = """
name = "small"
[corpus.text]
sources = ["notes"]
[tokenizer.bpe]
corpus = "corpus.text"
vocabulary_size = 300
[pretrain.encoder]
model = { family = "bert", layers = 1, hidden_size = 16, heads = 2, context = 32 }
objective = { kind = "masked" }
tokenizer = "tokenizer.bpe"
corpus = "corpus.text"
budget = { steps = 10 }
[finetune.era]
model = "pretrain.encoder"
task = "classification"
data = "period"
corpus = "corpus.text"
batch_size = 4
budget = { steps = 5 }
"""


def test_a_recipe_with_an_encoder_and_its_task_is_planned(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("A line of text, long enough to stay.\n" * 50, "utf-8")
    (tmp_path / "small.toml").write_text(RECIPE, "utf-8")
    stages = {stage["stage"]: stage for stage in plan("small.toml")["stages"]}
    era = stages["finetune.era"]
    assert era["parameters"] == stages["pretrain.encoder"]["parameters"] > 0
    # One probed step of 4 x 32 tokens takes 660 s; five of them, from two starts.
    assert era["seconds"] == pytest.approx(2 * 5 * 660)


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("gpt2", "the size of gpt2 is missing, expected gpt2:124m"),
        ("gpt2:125m", "Did you mean '124m'?"),
        ("t6:11b", "Did you mean 't5'?"),
        ("nothing", "neither a recipe nor FAMILY:SIZE"),
    ],
)
def test_unknown_shapes_are_one_sentence(capsys: pytest.CaptureFixture[str], reference: str, sentence: str) -> None:
    assert run(["plan", reference]) == 2
    assert sentence in capsys.readouterr().err


def test_a_cluster_is_planned_without_a_probe(plan: Plan) -> None:
    found = plan("llama:65b", "--devices", "2048xA100-80GB", "--tokens", "1.4T", "--price", 2)
    assert found["fits"] is True
    assert found["memory_bytes"] == sum(found["memory"].values()) <= found["device_memory_bytes"]
    assert found["seconds"] == pytest.approx(21 * 86400, rel=0.15)  # Touvron et al. 2023, section 2.4
    assert found["cost"] == pytest.approx(2048 * found["seconds"] / 3600 * 2)
    assert found["train_flops"] == pytest.approx(found["rule_of_six"], rel=0.05)
    assert found["parallel"].keys() == {"data", "shard", "tensor", "pipeline", "context"}
    assert found["activation_bytes"]["computed again"] < found["activation_bytes"]["kept"]


def test_a_recipe_is_planned_on_a_cluster(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RECIPE, "utf-8")
    found = plan("small.toml", "--devices", "4xT4-16GB", "--parallel", "data=4,shard=zero1", "--set",
                 "pretrain.encoder.batch_size=8")  # fmt: skip
    assert [stage["stage"] for stage in found["stages"]] == ["pretrain.encoder"]
    assert found["tokens"] == 10 * 8 * 32
    assert found["communication_bytes"].keys() == {"data"}
    ramped = plan("small.toml", "--devices", "4xT4-16GB", "--set", "pretrain.encoder.batch_size=8",
                  "--set", "pretrain.encoder.ramp={start=4,steps=4}")  # fmt: skip
    assert ramped["tokens"] == (4 + 5 + 6 + 7 + 6 * 8) * 32


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("llama:65b", "--devices", "8xA100-40GB"), "does not fit on 8xA100-40GB under any plan"),
        (("llama:65b", "--devices", "8xA100-40"), "Did you mean 'A100-40GB'?"),
        (("llama:7b", "--devices", "8xA100-40GB", "--parallel", "data=4"), "ranks that multiply to 8"),
        (("llama:7b", "--devices", "8xA100-40GB", "--for", "score"), "--devices plans a training"),
        (("llama:7b", "--devices", "8xA100-40GB", "--utilization", "45"), "out of range"),
        (("llama:7b", "--devices", "8xA100-40GB", "--optimizer", "adm"), "unknown optimizer 'adm'"),
        ((), "neither a recipe nor FAMILY:SIZE"),
    ],
)
def test_a_cluster_that_cannot_be_planned_is_one_sentence(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    assert run(["plan", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_what_does_not_fit_here_says_what_would(plan: Plan) -> None:
    assert plan("gpt2:774m", "--batch-size", 8)["would_fit"].startswith("--recompute")
    assert plan("t5:11b")["would_fit"] is None


def test_published_trainings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--published"]) == 0
    shown = capsys.readouterr().out
    assert "LLaMA-65B" in shown
    assert "PaLM 540B" in shown
