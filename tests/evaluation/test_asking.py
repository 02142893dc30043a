"""Scores of one's own questions: by hand, resumed, and read by `compare`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import AskSetting, compare, read_questions, score_questions
from fourfold.evaluation.asking import word_f1
from fourfold.inference import ScriptedModel
from fourfold.utilization.retrieval import Hit, Passage, open_index

FILES = {
    "printer.md": "The printer contract with Blue Ink ends on 31 March 2027. It costs 420 euros a month.",
    "leave.txt": "Employees have 28 days of leave a year. Leave must be announced two weeks before.",
    "机房.txt": "机房位于三楼东侧。空调每年检修两次，由王工负责。钥匙存放在前台。",
}
LINES: Sequence[Mapping[str, Any]] = (
    {"question": "When does the printer contract end?", "answer": "31 March 2027", "source": "printer.md"},
    {"question": "空调由谁负责检修？", "answer": ["王工", "王先生"], "source": "机房.txt", "quote": "由王工负责"},
    {"question": "How many days of leave do employees have?", "answer": "28", "source": "printer.md"},  # a wrong source
    {"question": "Who won the football world cup?", "answer": None},
    {"question": "Does the printer contract with Blue Ink say who cleans the windows?", "answer": None},
    {"question": "How much is the printer a month?", "source": "printer.md"},
)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    for name, text in FILES.items():
        (tmp_path / "docs" / name).write_text(text, "utf-8")
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in LINES), "utf-8")
    return file


def score(file: Path, model: ScriptedModel | None = None, label: str = "quotes") -> dict[str, Any]:
    with open_index(file.parent / "docs", index_folder=file.parent / "index") as index:
        index.update()
        setting = AskSetting(model, label)
        return score_questions(read_questions(file), index, setting, folder=file.parent / label, name="mine")


def test_rows_by_hand(asked: Path) -> None:
    rows = {(row["task"], row["metric"]): (round(row["value"], 4), row["n"]) for row in score(asked)["rows"]}
    assert rows["mine/retrieval", "hit_at_1"] == (0.75, 4)  # the third looks for its source in vain
    assert rows["mine/retrieval", "reciprocal_rank"][1] == 4
    assert rows["mine/answers", "contains"] == (0.8, 5)  # all but the fifth, which is answered though it should not
    assert rows["mine/answers", "false_refusal"] == (0, 3)
    assert rows["mine/answers", "false_answer"] == (0.5, 2)
    assert rows["mine/answers", "citations_stand"] == (1, 3)
    assert rows["mine/answers", "cites_the_source"] == (0.6667, 3)


def test_kept_answers_are_not_asked_again(asked: Path) -> None:
    class Dropping(Exception):
        pass

    calls: list[str] = []

    def reply(messages: Sequence[Mapping[str, str]]) -> str:
        calls.append(messages[-1]["content"])
        if len(calls) == 2:
            raise Dropping
        return "It ends on 31 March 2027."

    with pytest.raises(Dropping):
        score(asked, ScriptedModel(reply), "m")
    finished = len(list((asked.parent / "m" / "cells").iterdir()))
    assert finished == 1
    score(asked, ScriptedModel(reply), "m")
    assert len(calls) == 6  # five questions are answered, and one of them was asked twice
    assert len(set(calls)) == 5


def test_two_runs_are_compared(asked: Path) -> None:
    score(asked)
    score(asked, ScriptedModel(["Nothing of this stands anywhere."]), "m")
    found = compare(asked.parent / "quotes", asked.parent / "m")
    assert {row["task"] for row in found["rows"]} == {"mine/retrieval", "mine/answers"}
    assert all(row["unpaired"] == 0 for row in found["rows"])


def test_word_f1_by_hand() -> None:
    assert word_f1("The 28 days", "28 days") == 1  # articles do not count
    assert word_f1("28 days of leave", "28 days") == pytest.approx(2 * 2 / (4 + 2))
    assert word_f1("王工负责", "王工") == pytest.approx(2 * 2 / (4 + 2))
    assert word_f1("", "28") == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"answer": "x"}', "not a question"),
        ('{"question": " ", "answer": "x"}', "not a question"),
        ('{"question": "a?", "answer": {"b": 1}}', "bad answer"),
        ('{"question": "a?", "answer": "x", "source": 3}', "bad answer"),
        ('{"question": "a?"', "not a JSON line"),
        ("", "no questions"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, sentence: str) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(line)
    with pytest.raises(UserError, match=sentence):
        read_questions(file)


def test_a_hit_knows_source_and_quote(asked: Path) -> None:
    question = read_questions(asked)[1]
    passage = Passage(id="机房.txt#1", text=FILES["机房.txt"], source="机房.txt", place="line 1", heading="")
    assert question.is_found_in(Hit(passage=passage, score=1.0, method="bm25").passage)
    other = Passage(id="x", text="由李工负责", source="机房.txt", place="", heading="")
    assert not question.is_found_in(other)
