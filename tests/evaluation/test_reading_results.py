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


# ---- what lm-eval 0.4.13 wrote for real runs, cut to the fields that count


FILTERS = ("strict-match", "flexible-extract")


def real(folder, task="gsm8k", shots=5, limit=None, filters=FILTERS, scores=(0, 1), **more):
    date = "2026-11-27T21-49-25.372422"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "doc_id": n,
            "doc": {"question": f"How many, {n}?", "answer": f"#### {n}"},
            "target": f"#### {n}",
            "arguments": {"gen_args_0": {"arg_0": f"Question: How many, {n}?\nAnswer:", "arg_1": {"until": ["Q"]}}},
            "resps": [["so\n#### 3"]],
            "filtered_resps": ["3"],
            "filter": how,
            "metrics": ["exact_match"],
            "exact_match": float(score),
        }
        for n in range(8)
        for how, score in zip(filters, scores, strict=True)
    ]
    (folder / f"samples_{task}_{date}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    about = {
        "n-shot": {task: shots},
        "configs": {task: {"output_type": "generate_until", "doc_to_text": "Question: {{question}}", **more}},
        "config": {"limit": limit, "gen_kwargs": {}},
        "higher_is_better": {task: {"exact_match": True}},
        "group_subtasks": {},
    }
    (folder / f"results_{date}.json").write_text(json.dumps(about))
    return folder


def test_filters_are_metrics_of_one_item(tmp_path):
    a, b = real(tmp_path / "a"), real(tmp_path / "b", scores=(1, 1))
    (sample, *_) = read_results(a).samples
    assert dict(sample.scores) == {"exact_match,strict-match": 0, "exact_match,flexible-extract": 1}
    (row,) = compare(a, b)["rows"]
    assert (row["metric"], row["n"], row["gained"]) == ("exact_match,strict-match", 8, 8)
    (row,) = compare(a, b, metric="exact_match,flexible-extract")["rows"]
    assert row["gained"] == row["lost"] == 0


def test_what_differs_besides_the_model_is_said(tmp_path):
    a, b = real(tmp_path / "a"), real(tmp_path / "b", shots=0, limit=8, generation_kwargs={"until": ["Q"]})
    warnings = compare(a, b)["warnings"]
    assert "gsm8k: not like with like, shots is 5 in A and 0 in B" in warnings
    assert "gsm8k: not like with like, limit is none in A and 8 in B" in warnings
    assert any("generation is none in A" in warning for warning in warnings)
    assert compare(a, a)["warnings"] == []


def test_ours_and_theirs_pair_though_their_metrics_and_ways_have_other_names(tmp_path):
    theirs = real(tmp_path / "theirs")
    ours = tmp_path / "ours"
    ours.mkdir()
    lines = [
        {"model": "m", "task": "gsm8k", "solver": "completion", "id": str(n), "prompt": f"How many, {n}?", "score": 1}
        | {"scores": {"exact_match": 1, "exact_match_flexible": 0}, "target": str(n), "output": "#### 3", "meta": {}}
        for n in reversed(range(8))
    ]
    (ours / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = compare(ours, theirs)
    (row,) = result["rows"]
    assert (row["metric"], row["metric_b"]) == ("exact_match", "exact_match,strict-match")
    assert (row["n"], row["lost"], row["unpaired"]) == (8, 8, 0)
    assert result["warnings"] == []


def test_groups_of_the_results_file_are_pooled(tmp_path):
    folder = tmp_path / "org__m"
    for subject, scores in (("law", [1.0, 0.0, 1.0]), ("art", [0.0, 0.0, 1.0])):
        lm_eval(folder, scores, task=f"mmlu_{subject}", extra={"doc": {}}.items())
    for subject in ("law", "art"):
        file = next(folder.glob(f"samples_mmlu_{subject}_*"))
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            line["doc"] = {"question": f"{subject} {line['doc_id']}?"}
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    groups = {"mmlu": ["mmlu_humanities"], "mmlu_humanities": ["mmlu_law", "mmlu_art"]}
    (folder / "results_2026-01-02T03-04-05.678901.json").write_text(json.dumps({"group_subtasks": groups}))
    (row,) = compare(folder, folder)["rows"]
    assert (row["task"], row["n"]) == ("mmlu", 6)
    assert [part["part"] for part in row["parts"]] == ["mmlu_art", "mmlu_law"]


def test_flags_of_instructions_become_a_share(tmp_path):
    flags = {"prompt_level_strict_acc": False, "inst_level_strict_acc": [True, False], "metrics": []}
    folder = lm_eval(tmp_path / "m", [None], task="ifeval", extra=(flags | {"acc_norm": None}).items())
    (sample,) = read_results(folder).samples
    assert dict(sample.scores) == {"prompt_level_strict_acc": 0}
    lines = {"metrics": ["prompt_level_strict_acc", "inst_level_strict_acc"]}
    folder = lm_eval(tmp_path / "n", [None], task="ifeval", extra=(flags | lines | {"acc_norm": None}).items())
    (sample,) = read_results(folder).samples
    assert sample.scores["inst_level_strict_acc"] == 0.5
