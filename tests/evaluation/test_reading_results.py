"""lm-eval's layout as its 0.4 evaluation tracker writes it."""

import json

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import compare, read_results


def lm_eval(folder, scores, task="arc_easy", date="2026-01-02T03-04-05.678901", extra=()):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"samples_{task}_{date}.jsonl", "w", encoding="utf-8") as stream:
        for number, score in enumerate(scores):
            sample = {
                "doc_id": number,
                "doc": {"question": f"q{number}"},
                "target": "1",
                "arguments": {"gen_args_0": {"arg_0": f"Question: q{number}", "arg_1": " a"}},
                "resps": [[["-1.0", "False"]]],
                "filtered_resps": [["-1.0", "False"]],
                "filter": "none",
                "metrics": ["acc", "acc_norm"],
                "doc_hash": "x",
                "acc_norm": 0.0,
                "acc": score,
            }
            stream.write(json.dumps(sample | dict(extra)) + "\n")
    return folder


def test_lm_eval_folders_compare(tmp_path):
    before = lm_eval(tmp_path / "a" / "org__before", [0.0] * 30)
    lm_eval(before, [1.0] * 30, date="2025-01-01T00-00-00.000000")
    lm_eval(tmp_path / "b" / "org__after", [1.0] * 20 + [0.0] * 10)
    result = compare(tmp_path / "a", tmp_path / "b")
    (row,) = result["rows"]
    assert (row["task"], row["n"], row["gained"], row["verdict"]) == ("arc_easy", 30, 20, "better")
    assert result["a"]["model"] == "org__before"
    assert result["flips"][0]["prompt"] == "Question: q0"


def test_one_lm_eval_file_and_task_names_with_underscores(tmp_path):
    lm_eval(tmp_path, [1, 0], task="mmlu_high_school_biology")
    samples = read_results(next(tmp_path.glob("*.jsonl"))).samples
    assert {sample.task for sample in samples} == {"mmlu_high_school_biology"}
    assert [sample.score for sample in samples] == [1, 0]


def test_a_sample_without_a_number(tmp_path):
    lm_eval(tmp_path, [None], extra={"acc_norm": None}.items())
    with pytest.raises(UserError, match="without a number"):
        read_results(tmp_path)
