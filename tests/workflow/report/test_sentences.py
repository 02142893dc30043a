import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourfold.workflow.report import write_report
from fourfold.workflow.report.loading import load_run
from fourfold.workflow.report.sentences import opening_sentences


@pytest.fixture
def run_folder(make_run, tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text("utf-8"))
    edit(value)
    path.write_text(json.dumps(value), "utf-8")


def sentences(folder: Path) -> list[str]:
    return [sentence.en for sentence in opening_sentences(load_run(folder))]


def test_three_sentences_with_the_run_numbers(run_folder: Path) -> None:
    text, best, tuning = sentences(run_folder)
    assert text.startswith("Your text is 1,801 documents, 24.6 MB, in groups: prose, code; 99 of them were held out")
    assert "SmolLM2-135M-Instruct predicts unseen prose best, with 0.93 bits per byte" in best
    assert "5-gram, modified Kneser–Ney leads with 1.30" in best
    assert "what it learned from 2T tokens elsewhere" in best
    assert "raised arithmetic from 0 % to 100 %" in tuning
    assert "lowered general answers from 72 % to 9 %" in tuning
    assert "tuned with replay left general answers at 69 % after 72 %, a change within noise" in tuning


def test_overlapping_intervals_name_no_winner(run_folder: Path) -> None:
    def widen(results: dict[str, Any]) -> None:
        for row in results["rows"]:
            row["low"], row["high"] = row["bits_per_byte"] - 1, row["bits_per_byte"] + 1

    change(run_folder / "score.bits/results.json", widen)
    best = sentences(run_folder)[1]
    assert "cannot be told apart" in best
    assert "predicts unseen prose best" not in best


def test_without_the_large_model_counting_leads_and_says_so(run_folder: Path) -> None:
    def drop(results: dict[str, Any]) -> None:
        results["rows"] = [row for row in results["rows"] if row["model"] != "smollm2"]

    change(run_folder / "score.bits/results.json", drop)
    best = sentences(run_folder)[1]
    assert "5-gram, modified Kneser–Ney predicts unseen prose best" in best
    assert "counting uses all the text in 18 s" in best
    assert "elsewhere" not in best


def test_without_a_paired_test_no_effect_is_claimed(run_folder: Path) -> None:
    change(run_folder / "evaluate.tuning/results.json", lambda results: results.update(comparisons=[]))
    tuning = sentences(run_folder)[2]
    assert "no paired test" in tuning
    assert "raised" not in tuning


def test_direction_of_a_comparison_does_not_matter(run_folder: Path) -> None:
    before = sentences(run_folder)

    def turn(results: dict[str, Any]) -> None:
        for row in results["comparisons"]:
            row["a"], row["b"] = row["b"], row["a"]
            row["difference"] = -row["difference"]
            row["low"], row["high"] = -row["high"], -row["low"]

    change(run_folder / "evaluate.tuning/results.json", turn)
    assert sentences(run_folder) == before


def test_empty_run_has_no_sentences(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("[corpus.text]\n", "utf-8")
    assert sentences(tmp_path) == []


def finetuned(folder: Path, low: float, high: float) -> None:
    """A finetune stage whose pre-trained side is ahead by 0.1, with that interval."""
    stage, random = folder / "finetune.period", "finetune.period from random weights"
    stage.mkdir()
    same = {"task": "period", "solver": "fine-tuned", "metric": "accuracy", "n": 40, "low": 0.4, "high": 0.7}
    rows = [
        {**same, "model": random, "label": "BERT from random weights", "value": 0.5},
        {**same, "model": "finetune.period", "label": "BERT", "value": 0.6},
    ]
    pair = {"task": "period", "solver": "fine-tuned", "metric": "accuracy", "a": random, "b": "finetune.period"}
    compared = {**pair, "difference": 0.1, "low": low, "high": high, "p_value": 0.01, "verdict": "better"}
    (stage / "results.json").write_text(json.dumps({"rows": rows, "comparisons": [compared]}), "utf-8")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.02, 0.18, "BERT raised period of a paragraph (accuracy) from 50 % to 60 % (+10 points, 95 % interval +2"),
        (-0.02, 0.22, "BERT left period of a paragraph (accuracy) at 60 % after 50 %, a change within noise"),
    ],
)
def test_what_pretraining_was_worth_is_told_with_its_interval(
    run_folder: Path, low: float, high: float, said: str
) -> None:
    finetuned(run_folder, low, high)
    told = sentences(run_folder)
    assert told[2].startswith("Against the same model tuned from random weights: BERT")
    assert said in told[2]
    page = write_report(run_folder).read_text("utf-8")
    assert '<section id="pretraining">' in page
    assert (run_folder / "figures" / "pretraining.csv").is_file()
