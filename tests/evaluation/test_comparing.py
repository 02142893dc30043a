import json
import random

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import compare, read_results


def write(folder, scores, model="m", task="t", solver="zero_shot", shift=0):
    folder.mkdir(exist_ok=True)
    with open(folder / "samples.jsonl", "a", encoding="utf-8") as stream:
        for number, score in enumerate(scores):
            sample = {"model": model, "task": task, "solver": solver, "id": str(number), "prompt": f"p{number + shift}"}
            stream.write(json.dumps(sample | {"output": "o", "target": "t", "score": score}) + "\n")
    return folder


def test_noise_is_called_noise(tmp_path):
    generator = random.Random(0)
    a = [generator.random() < 0.6 for _ in range(250)]
    b = list(a)
    for flip in (3, 77, 120, 180, 200):
        b[flip] = not b[flip]
    a_path, b_path = write(tmp_path / "a", map(float, a)), write(tmp_path / "b", map(float, b))
    result = compare(a_path, b_path)
    (row,) = result["rows"]
    assert row["n"] == 250
    assert row["verdict"] == "no difference shown"
    assert row["difference"] == pytest.approx((sum(b) - sum(a)) / 250)
    assert row["gained"] + row["lost"] == len(result["flips"]) == 5
    assert "noise at this size" in result["sentence"]
    assert "would usually show" in result["sentence"]


def test_a_real_difference(tmp_path):
    result = compare(write(tmp_path / "a", [0.0] * 60 + [1.0] * 4), write(tmp_path / "b", [1.0] * 64))
    assert result["rows"][0]["verdict"] == "better"
    assert "+93.8 points, better beyond chance" in result["sentence"]
    worse = compare(tmp_path / "b", tmp_path / "a")
    assert worse["rows"][0]["verdict"] == "worse"
    same = compare(tmp_path / "a", tmp_path / "a")
    assert "no item came out differently" in same["sentence"]


def test_holm_over_tasks_takes_back_a_lucky_one(tmp_path):
    for task in range(10):
        lucky = task == 0
        write(tmp_path / "a", [0.0] * 7 + [1.0] * 20, task=f"t{task}")
        write(tmp_path / "b", [1.0] * 7 + [1.0] * 20 if lucky else [0.0] * 7 + [1.0] * 20, task=f"t{task}")
    result = compare(tmp_path / "a", tmp_path / "b")
    row = result["rows"][0]
    assert row["p_value"] < 0.05 < row["p_holm"]
    assert row["verdict"] == "no difference shown"
    assert result["sentence"].startswith("No difference shown on 10 comparisons")


def test_items_pair_by_content(tmp_path):
    write(tmp_path / "a", [1.0] * 10)
    write(tmp_path / "b", [1.0] * 10, shift=100)
    with pytest.raises(UserError, match="no common items"):
        compare(tmp_path / "a", tmp_path / "b")
    write(tmp_path / "c", [0.0] * 6)
    row = compare(tmp_path / "a", tmp_path / "c")["rows"][0]
    assert (row["n"], row["unpaired"]) == (6, 4)


def test_solvers_pair_with_themselves_or_the_only_other(tmp_path):
    write(tmp_path / "a", [1.0] * 10)
    write(tmp_path / "b", [0.0] * 10, solver="few_shot")
    (row,) = compare(tmp_path / "a", tmp_path / "b")["rows"]
    assert (row["solver"], row["solver_b"]) == ("zero_shot", "few_shot")
    write(tmp_path / "b", [1.0] * 10, solver="zero_shot")
    (row,) = compare(tmp_path / "a", tmp_path / "b")["rows"]
    assert (row["solver"], row["solver_b"]) == ("zero_shot", "zero_shot")


def test_several_models_ask_for_a_choice(tmp_path):
    write(tmp_path / "a", [0.0] * 10, model="before")
    write(tmp_path / "a", [1.0] * 10, model="after")
    with pytest.raises(UserError, match=r"before, after.*--model-a"):
        compare(tmp_path / "a", tmp_path / "a")
    result = compare(tmp_path / "a", tmp_path / "a", model_a="before", model_b="after")
    assert result["rows"][0]["verdict"] == "better"
    with pytest.raises(UserError, match="unknown model 'beforr'"):
        compare(tmp_path / "a", tmp_path / "a", model_a="beforr", model_b="after")


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "samples.jsonl:1: not a JSON line"), ("[]", "not a sample"), ('{"score": 1}', "without model, task")],
)
def test_bad_reading(tmp_path, line, message):
    (tmp_path / "samples.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        read_results(tmp_path)
    with pytest.raises(UserError, match="no results here"):
        read_results(tmp_path / "none")
