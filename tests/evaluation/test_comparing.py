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


# ---- settings, metrics, groups, training data


def plain(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def test_plain_lines_with_an_id_or_a_question(tmp_path):
    a = plain(tmp_path / "a.jsonl", [{"id": n, "correct": n % 2 == 0} for n in range(40)])
    b = plain(tmp_path / "b.jsonl", [{"id": n, "score": 1} for n in reversed(range(40))])
    (row,) = compare(a, b, metric="correct=score")["rows"]
    assert (row["n"], row["gained"], row["lost"], row["paired_by"]) == (40, 20, 0, "id")
    assert (row["metric"], row["metric_b"]) == ("correct", "score")
    with pytest.raises(UserError, match=r"no metric in common.*--metric NAME_A=NAME_B"):
        compare(a, b)
    with pytest.raises(UserError, match="unknown metric 'accuracy'"):
        compare(a, b, metric="accuracy")
    for bad in ({"id": 1}, {"score": 1}, {"question": "q", "score": "high"}):
        with pytest.raises(UserError, match=r"c.jsonl:1: not a sample"):
            compare(plain(tmp_path / "c.jsonl", [bad]), b)


def test_no_common_items_says_what_each_holds(tmp_path):
    a = plain(tmp_path / "a.jsonl", [{"question": "Why is the sky blue?", "score": 1, "task": "sky"}])
    b = plain(tmp_path / "b.jsonl", [{"question": "Wie spät ist es?", "score": 1, "task": "time"}] * 3)
    with pytest.raises(UserError, match=r"a.jsonl holds 1 of sky \('Why is.*b.jsonl holds 3 of time \('Wie spät"):
        compare(a, b)


def test_tasks_of_other_names_pair_by_their_items(tmp_path):
    questions = [f"question number {n} of many" for n in range(12)]
    a = plain(tmp_path / "a.jsonl", [{"question": q, "score": 0, "task": "arc_easy"} for q in questions])
    b = plain(tmp_path / "b.jsonl", [{"question": q + "?", "score": 1, "task": "arc-e"} for q in reversed(questions)])
    (row,) = compare(a, b)["rows"]
    assert (row["task"], row["task_b"], row["n"], row["verdict"]) == ("arc_easy", "arc-e", 12, "better")


def test_a_metric_that_is_no_share_keeps_its_unit(tmp_path):
    draw = random.Random(0)
    values = [draw.gauss(-12, 3) for _ in range(30)]
    a = plain(tmp_path / "a.jsonl", [{"id": n, "score": v} for n, v in enumerate(values)])
    b = plain(tmp_path / "b.jsonl", [{"id": n, "score": v + draw.gauss(2, 1)} for n, v in enumerate(values)])
    result = compare(a, b)
    assert not result["rows"][0]["in_points"]
    assert result["rows"][0]["detectable"] is None
    assert " score, better beyond chance" in result["sentence"]
    assert "points" not in result["sentence"]


def test_pooled_parts_are_one_stratified_comparison(tmp_path):
    draw = random.Random(1)
    lines = [
        {"question": f"{part} {n}", "score": int(draw.random() < 0.5), "task": f"exam_{part}"}
        for part in ("law", "art", "biology")
        for n in range(20)
    ]
    a = plain(tmp_path / "a.jsonl", lines)
    b = plain(tmp_path / "b.jsonl", [{**line, "score": 1} for line in lines])
    assert len(compare(a, b)["rows"]) == 3
    (row,) = compare(a, b, pool=["exam"])["rows"]
    assert (row["task"], row["n"]) == ("exam", 60)
    assert row["method"] == "stratified bootstrap, McNemar exact"
    assert [part["part"] for part in row["parts"]] == ["exam_law", "exam_art", "exam_biology"]
    assert row["difference"] == pytest.approx(sum(p["difference"] * p["n"] for p in row["parts"]) / 60)


def test_items_of_the_training_data_are_flagged_and_left_out(tmp_path):
    """The gain is all on the ten items that were trained on."""
    draw = random.Random(2)
    words = ["river", "stone", "light", "garden", "winter", "letter", "bridge", "music", "teacher", "market", "window"]
    questions = [" ".join(draw.choices(words, k=16)) for _ in range(60)]
    a = plain(tmp_path / "a.jsonl", [{"question": q, "score": 0} for q in questions])
    b = plain(tmp_path / "b.jsonl", [{"question": q, "score": int(n < 10)} for n, q in enumerate(questions)])
    text = "\n".join(questions[:9]).replace(" river", ",\nRiver") + "\n" + questions[20][:40]
    (tmp_path / "seen.txt").write_text(text, "utf-8")
    chats = plain(tmp_path / "chats.jsonl", [{"messages": [{"role": "user", "content": f"Tell me: {questions[9]}!"}]}])
    result = compare(a, b, train=[tmp_path / "seen.txt", chats])
    (row,) = result["rows"]
    assert [item["question"] for item in result["flagged"]] == questions[:10]
    assert all(item["share"] == 1 and item["order"] == 13 for item in result["flagged"])
    assert result["flagged"][9]["where"] == f"{chats}:1"
    assert row["verdict"] == "better"
    assert (row["clean"]["n"], row["clean"]["verdict"], row["clean"]["difference"]) == (50, "no difference shown", 0)
    assert "Without the 10 that stand in the training data: no item came out differently" in result["sentence"]
    assert sum(flip["in_training_data"] for flip in result["flips"]) == 10
    assert compare(a, b)["rows"][0]["clean"] is None
    with pytest.raises(UserError, match="no such training text"):
        compare(a, b, train=[tmp_path / "none.txt"])


def test_chinese_items_are_found_by_characters(tmp_path):
    question = "中国历史上第一个统一的封建王朝是哪一个"
    other = "另外一个完全不同的长一点的问题在这里"
    a = plain(tmp_path / "a.jsonl", [{"question": text, "score": 0} for text in (question, other)])
    (tmp_path / "zh.txt").write_text(f"试题：{question}？答案：秦朝", "utf-8")
    assert [item["question"] for item in compare(a, a, train=[tmp_path / "zh.txt"])["flagged"]] == [question]


def test_two_runs_of_one_model_are_rarely_called_different(tmp_path):
    """Answers drawn anew from the same chances: Holm over three tasks keeps false alarms within 5 % of comparisons."""
    draw = random.Random(3)
    chances = [draw.random() for _ in range(90)]
    alarms, runs = 0, 120
    for _ in range(runs):
        sides = [
            [{"id": n, "score": int(draw.random() < p), "task": f"t{n % 3}"} for n, p in enumerate(chances)]
            for _ in range(2)
        ]
        a, b = (plain(tmp_path / f"{name}.jsonl", side) for name, side in zip("ab", sides, strict=True))
        alarms += any(row["verdict"] != "no difference shown" for row in compare(a, b)["rows"])
    assert alarms / runs <= 0.05
