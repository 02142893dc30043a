"""Public benchmarks from files, folders and the hub's cache: readers, splits, demonstrations, refusals."""

from __future__ import annotations

import json

import polars
import pytest

from fourfold.errors import UserError
from fourfold.evaluation import BENCHMARKS, ask, benchmark_task, make_task, task_names
from fourfold.evaluation.benchmarks.splits import split_files
from fourfold.inference import Continuation

HEADS = {"id": "1", "question": "q", "choices": ["a", "b"], "answer": 0}


class Reader:
    """A model that keeps what it is asked and likes the shortest continuation."""

    name = "reader"

    def __init__(self):
        self.pairs = []

    def score(self, texts):
        raise AssertionError("not asked for")

    def log_likelihood(self, pairs):
        self.pairs += pairs
        return [Continuation(-float(len(text)), False, 1) for _, text in pairs]


def written(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def exam(path, rows, header="question,A,B,C,D,answer\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\ufeff" + header + "".join(",".join(row) + "\n" for row in rows), "utf-8")


def first_text(task, method=None):
    reader = Reader()
    answered = ask(reader, task, method)
    return reader.pairs[0][0], answered


def test_every_benchmark_is_a_task_by_name():
    assert set(BENCHMARKS) <= set(task_names())
    with pytest.raises(UserError, match=r"unknown task 'arc_eazy'.*Did you mean 'arc_easy'"):
        make_task("arc_eazy@x.jsonl")
    with pytest.raises(UserError, match="no file is named"):
        make_task("arc_easy@")


def test_plain_form_and_hub_form_are_the_same_item(tmp_path):
    mine = {"id": "1", "question": "Hot?", "choices": ["ice", "fire"], "answer": 1}
    plain = written(tmp_path / "plain.jsonl", [mine])
    choices = {"text": ["ice", "fire"], "label": ["1", "2"]}
    hub = written(tmp_path / "hub.jsonl", [{"id": "1", "question": "Hot?", "choices": choices, "answerKey": "2"}])
    frame = polars.DataFrame({"id": ["1"], "question": ["Hot?"], "choices": [choices], "answerKey": ["2"]})
    frame.write_parquet(tmp_path / "hub.parquet")
    items = [benchmark_task(f"arc_easy@{path}").items(0, None) for path in (plain, hub, tmp_path / "hub.parquet")]
    assert items[0] == items[1] == items[2]
    assert (items[0][0].answer, items[0][0].target) == (1, "fire")


def test_exams_of_a_folder_with_a_file_a_subject(tmp_path):
    exam(tmp_path / "val" / "law_val.csv", [("甲？", "一", "二", "三", "四", "B")])
    exam(tmp_path / "val" / "logic_val.csv", [("乙？", "一", "二", "三", "四", "D")])
    for subject in ("law", "logic"):
        exam(tmp_path / "dev" / f"{subject}_dev.csv", [(f"{subject}例？", "一", "二", "三", "四", "A")])
    task = benchmark_task(f"ceval@{tmp_path}", shots=1)
    text, answered = first_text(task)
    assert text == (
        "以下是中国关于法学的单项选择题，请选出其中的正确答案。\n\n"
        "law例？\nA. 一\nB. 二\nC. 三\nD. 四\n答案： A\n\n甲？\nA. 一\nB. 二\nC. 三\nD. 四\n答案："
    )
    assert [item.subject for item in task.items(0, None)] == ["law", "logic"]
    assert [one.scores["accuracy"] for one in answered] == [0, 0]
    assert (task.setting["split"], task.setting["shots"], task.setting["left_out"]) == ("validation", 1, 0)


def test_mmlu_as_published_has_no_header_and_the_subject_in_the_name(tmp_path):
    exam(tmp_path / "test" / "high_school_physics_test.csv", [("1+1?", "1", "2", "3", "4", "B")], header="")
    (item,) = benchmark_task(f"mmlu@{tmp_path}").items(0, None)
    assert (item.prompt, item.choices, item.answer) == ("1+1?", ("1", "2", "3", "4"), 1)
    assert item.meta == {"subject": "high_school_physics", "field": "high school physics"}


def test_demonstrations_of_the_subject_that_are_not_asked(tmp_path):
    def question(name, subject):
        return {**HEADS, "question": name, "subject": subject, "choices": ["a", "b", "c", "d"]}

    shared = question("both", "law")
    written(tmp_path / "dev.jsonl", [shared, question("law 2", "law"), question("logic 1", "logic")])
    written(tmp_path / "test.jsonl", [question("logic 9", "logic"), shared, question("law 9", "law")])
    task = benchmark_task(f"mmlu@{tmp_path}", shots=1)
    assert [item.prompt for item in task.items(0, None)] == ["logic 9", "law 9"]
    assert task.setting["left_out"] == 1
    text, _ = first_text(task)
    assert "logic 1" in text
    assert "both" not in text
    assert task.setting != benchmark_task(f"mmlu@{tmp_path}").setting
    with pytest.raises(UserError, match="too few demonstrations about logic for mmlu, expected 2, got 1"):
        benchmark_task(f"mmlu@{tmp_path}", shots=2)


def test_demonstrations_from_the_file_of_the_questions(tmp_path):
    path = written(tmp_path / "mine.jsonl", [{**HEADS, "question": f"q{n}"} for n in range(5)])
    with pytest.raises(UserError, match=r"no demonstrations for arc_easy.*--shots-from arc_easy@FILE"):
        benchmark_task(f"arc_easy@{path}", shots=2)
    task = benchmark_task(f"arc_easy@{path}", shots=2, shots_from=str(path))
    assert [item.prompt for item in task.items(0, None)] == ["q2", "q3", "q4"]
    text, _ = first_text(task)
    assert text == "Question: q0\nAnswer: a\n\nQuestion: q1\nAnswer: a\n\nQuestion: q2\nAnswer:"
    with pytest.raises(UserError, match="every question is a demonstration"):
        benchmark_task(f"arc_easy@{path}", shots=5, shots_from=str(path))


def test_the_hub_is_read_from_its_cache(tmp_path, monkeypatch):
    commit = "0" * 40
    snapshot = tmp_path / "datasets--allenai--ai2_arc" / "snapshots" / commit
    for split in ("train", "test"):
        place = snapshot / "ARC-Easy" / f"{split}-00000-of-00001.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        choices = {"text": [split, "b"], "label": ["A", "B"]}
        record = {"id": "1", "question": split, "choices": choices, "answerKey": "A"}
        polars.DataFrame([record]).write_parquet(place)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    task = benchmark_task("arc_easy", shots=1)
    assert [item.prompt for item in task.items(0, None)] == ["test"]
    assert task.setting["source"] == f"hf:allenai/ai2_arc@{commit}"
    text, _ = first_text(task)
    assert text.startswith("Question: train\nAnswer: train\n\n")


def test_a_text_is_cut_into_blocks_that_lose_nothing(tmp_path):
    text = "The first line.\n\n" + " ".join(f"word{n} 汉字。" for n in range(900))
    (tmp_path / "a.txt").write_text(text, "utf-8")
    items = benchmark_task(f"perplexity@{tmp_path / 'a.txt'}").items(0, None)
    assert "".join(item.choices[0] for item in items) == text
    assert [item.prompt for item in items] == ["", *(item.choices[0] for item in items[:-1])]
    assert all(1900 < len(item.choices[0].encode()) <= 2048 for item in items[:-1])
    (first, *_) = ask(Reader(), benchmark_task(f"perplexity@{tmp_path / 'a.txt'}"))
    length = len(items[0].choices[0])
    assert first.scores["bits_per_character"] == pytest.approx(1 / 0.6931472)
    assert first.scores["bits_per_byte"] == pytest.approx(length / 0.6931472 / len(items[0].choices[0].encode()))


def test_splits_and_subjects_by_name(tmp_path):
    names = {
        "all/test-00000-of-00001.parquet": ("test", "all"),
        "dev/law.csv": ("dev", "law"),
        "law/val-00000-of-00001.parquet": ("validation", "law"),
        "law/test/0000.parquet": ("test", "law"),
        "law_val.csv": ("validation", "law"),
        "college_law_test.jsonl": ("test", "college_law"),
        "train.jsonl": ("train", ""),
        "questions.jsonl": ("", "questions"),
    }
    for name in names:
        written(tmp_path / name, [])
    found = {str(file.path.relative_to(tmp_path)): (file.split, file.subject) for file in split_files(tmp_path)}
    assert found == names


@pytest.mark.parametrize(
    ("name", "record", "expected"),
    [
        ("arc_easy", {"text": "q"}, r'a.jsonl:1.*expected "question", "choices", "answer" or .*got text'),
        ("mmlu", {"question": "q", "choices": ["a", "b"], "answer": 4}, "the answer is none of the choices"),
        ("ceval", {"question": "q", "A": "1", "B": "2", "answer": "E"}, '"question", "A", "B"'),
        ("arc_easy", {**HEADS, "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": ""}, "answerKey"),
        ("winogrande", {"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"}, 'blank "_"'),
        ("winogrande", {"sentence": "a _", "option1": "a", "option2": "b", "answer": ""}, "not public"),
        ("piqa", {"goal": "g", "sol1": "a", "label": 0}, '"goal", "sol1", "sol2", "label"'),
        ("hellaswag", {"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": "x", "label": "0"}, '"endings"'),
        ("boolq", {"question": "q", "answer": "maybe"}, '"answer" \\(true or false\\)'),
        ("lambada", {"text": "word"}, "two words or more"),
        ("truthfulqa_mc2", {"question": "q", "mc2_targets": {"choices": ["a"], "labels": [1]}}, "true and false"),
    ],
)
def test_a_wrong_record_is_named(name, record, expected, tmp_path):
    path = written(tmp_path / "a.jsonl", [record])
    with pytest.raises(UserError, match=expected):
        benchmark_task(f"{name}@{path}")


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        benchmark_task(f"arc_easy@{tmp_path / 'nothing'}")
    (tmp_path / "a.tsv").write_text("x")
    with pytest.raises(UserError, match=r"not a file of records, expected \.jsonl"):
        benchmark_task(f"arc_easy@{tmp_path / 'a.tsv'}")
    with pytest.raises(UserError, match=r"no test split.*got no files of records"):
        benchmark_task(f"arc_easy@{tmp_path}")
    exam(tmp_path / "law_test.csv", [("q", "a", "b")])
    with pytest.raises(UserError, match=r"law_test.csv:2: a row of another width, expected 6 columns .*got 3"):
        benchmark_task(f"cmmlu@{tmp_path / 'law_test.csv'}")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="not a Parquet file"):
        benchmark_task(f"arc_easy@{tmp_path / 'b.parquet'}")
    path = written(tmp_path / "l.jsonl", [{"text": "a b"}])
    with pytest.raises(UserError, match="without demonstrations of its own"):
        benchmark_task(f"lambada@{path}", shots=1)
