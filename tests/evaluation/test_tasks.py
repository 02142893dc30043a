"""Tasks: reproducible items, scorers that accept what is right and refuse what is wrong."""

import itertools
import json

import pytest

from fourfold.errors import UserError
from fourfold.evaluation import (
    arithmetic_task,
    continuation_task,
    file_task,
    format_task,
    general_task,
    make_task,
    preference_task,
    task_names,
)
from fourfold.utilization import Conversation, calculator, conversations_of, use_tools

TEXT = " ".join(f"Sentence number {n} of this long text speaks of {n * n} things." for n in range(400))


def answer(text):
    return Conversation(messages=(), output=text)


def scored(task, item, text):
    return task.score(item, answer(text))


@pytest.mark.parametrize(
    "name", ["arithmetic", "arithmetic_unseen", "arithmetic_zh", "general", "format", "continuation", "preference"]
)
def test_same_seed_same_items(name):
    task = make_task(name, held_out=TEXT)
    assert task.name == name
    assert task.items(1, 3) == make_task(name, held_out=TEXT).items(1, 3)
    assert len(task.items(1, 3)) == 3
    assert len({item.id for item in task.items(0, None)}) == len(task.items(0, None))


def test_unknown_and_incomplete_names():
    assert "continuation" in task_names()
    with pytest.raises(UserError, match="Did you mean 'arithmetic'"):
        make_task("aritmetic")
    with pytest.raises(UserError, match="held-out text"):
        make_task("continuation")


def test_arithmetic_with_and_without_the_tool():
    task = arithmetic_task()
    item = task.items(3, 1)[0]
    assert scored(task, item, f"The answer is {item.target}.") == {"accuracy": 1, "call": 0}
    assert scored(task, item, "The answer is 17.5") == {"accuracy": 0, "call": 0}
    asked = Conversation(messages=(), output=f"CALC({item.target}+0)")
    assert task.score(item, asked) == {"accuracy": 0, "call": 1} | {"accuracy": float(item.target == "0")}
    (executed,) = use_tools([calculator()])([asked])
    assert task.score(item, executed) == {"accuracy": 1, "call": 1}
    assert scored(task, item, "CALC(") == {"accuracy": 0, "call": 0}


def test_arithmetic_demonstrations_are_right_and_no_problem_of_the_task():
    task = arithmetic_task()
    (executed,) = use_tools([calculator()])([answer(task.tool_demonstrations[1].answer)])
    assert executed.output == task.demonstrations[1].answer
    shown = {d.question for d in task.demonstrations}
    assert not shown & {item.prompt for seed in range(5) for item in task.items(seed, 64)}


def test_general_counts_false_calls():
    task = general_task()
    item = task.items(0, None)[0]
    word = item.target
    assert scored(task, item, f"It is {word}.") == {"retained": 1, "false_call": 0, "keyword": 1}
    assert scored(task, item, f"{word} CALC(3*4)") == {"retained": 0, "false_call": 1, "keyword": 1}
    assert scored(task, item, "xyzzy") == {"retained": 0, "false_call": 0, "keyword": 0}


def test_preference_shows_its_price():
    task = preference_task()
    item = task.items(0, None)[0]
    assert scored(task, item, f"It is {item.meta['keywords'][0]}.") == {"preferred": 1, "keyword": 1, "words": 3}
    assert scored(task, item, "word " * 31 + ".") == {"preferred": 0, "keyword": 0, "words": 31}


GOOD_AND_BAD = {
    "exact_words": ({"count": 3}, "Rivers carry water.", "Rivers carry much water."),
    "at_most_words": ({"count": 8}, "Rivers carry water.", "one two three four five six seven eight nine"),
    "lower_case": ({}, "rivers, 42", "Rivers"),
    "upper_case": ({}, "RIVERS", "Rivers"),
    "json": ({"key": "fact"}, '{"fact": "x"}', '{"note": 1}'),
    "ends_with": ({"phrase": "That is all."}, "x. That is all. ", "That is all. x"),
    "starts_with": ({"word": "Well"}, "Well, x", "x Well"),
    "bullets": ({"count": 2}, "- a\n- b", "- a, b"),
    "no_commas": ({}, "a b", "a，b"),
    "quoted": ({}, '"a b"', '"a" b'),
}


@pytest.mark.parametrize("kind", sorted(GOOD_AND_BAD))
def test_constraints(kind):
    task = format_task()
    arguments, good, bad = GOOD_AND_BAD[kind]
    item = next(item for item in task.items(0, 64) if item.meta["kind"] == kind)
    item = type(item)(id="0", prompt="", target="", meta={"kind": kind, "arguments": arguments})
    assert scored(task, item, good)["followed"] == 1
    assert scored(task, item, bad) == {"followed": 0, "followed_loose": 0}
    assert scored(task, item, "") == {"followed": 0, "followed_loose": 0}


def test_loose_forgives_a_frame_and_asterisks():
    task = format_task()
    item = type(task.items(0, 1)[0])(id="0", prompt="", target="", meta={"kind": "lower_case", "arguments": {}})
    assert scored(task, item, "Sure! Here it is:\nrivers flow") == {"followed": 0, "followed_loose": 1}


def test_format_speaks_both_languages_and_all_kinds():
    items = format_task().items(0, 100)
    assert {item.meta["kind"] for item in items} == set(GOOD_AND_BAD)
    assert any("汉字" in item.prompt for item in items)
    assert "{" not in "".join(item.prompt for item in items)


def test_continuation_items():
    items = continuation_task(TEXT).items(0, 40)
    assert len(items) == 40
    for item in items:
        assert len(set(item.choices)) == 4
        assert item.choices[item.answer] == item.target
        assert item.prompt + item.target in TEXT
        assert all(choice in TEXT for choice in item.choices)
        assert 150 < len(item.prompt) <= 240
    assert {item.answer for item in items} == {0, 1, 2, 3}, "the true one stands anywhere"
    spans = sorted((int(item.id), int(item.id) + len(item.prompt + item.target)) for item in items)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_continuation_of_chinese_and_of_hopeless_text():
    chinese = "".join(chr(0x4E00 + (n * 7919) % 5000) for n in range(8000))
    item = continuation_task(chinese).items(0, 5)[0]
    assert item.prompt + item.target in chinese
    with pytest.raises(UserError, match="too short"):
        continuation_task("short")
    with pytest.raises(UserError, match="repeats itself"):
        continuation_task("a" * 9000).items(0, 5)


def written(path, lines):
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    )
    return path


def test_file_with_choices(tmp_path):
    lines = [
        {"question": "2+2?", "choices": ["3", "4"], "answer": 1},
        {"question": "Capital of France?", "choices": ["Rome", "Paris", "Bonn"], "answer": "B"},
        {"question": "首都？", "choices": ["北京", "上海"], "answer": "北京"},
    ]
    task = file_task(written(tmp_path / "mc.jsonl", lines))
    items = task.items(0, None)
    assert [item.answer for item in items] == [1, 1, 0]
    assert items[0].prompt == "Question: 2+2?\nAnswer:"
    assert items[0].choices == (" 3", " 4")
    assert task.ways["log_likelihood"].metrics[0].chance == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)
    assert list(task.ways) == ["log_likelihood"]
    sample = task.items(5, 2)
    assert len(sample) == 2
    assert sample == task.items(5, 2)


def test_file_with_answers(tmp_path):
    lines = [{"question": "Capital of France?", "answer": ["Paris", "Lutetia"]}, {"question": "6*7?", "answer": 42}]
    task = make_task(f"file:{written(tmp_path / 'qa.jsonl', lines)}")
    capital, product = task.items(0, None)
    assert scored(task, capital, "paris.") == {"exact_match": 1, "contains": 1}
    assert scored(task, capital, "I think it is Paris.") == {"exact_match": 0, "contains": 1}
    assert scored(task, product, "6*7 = 42.0") == {"exact_match": 1, "contains": 1}
    assert scored(task, product, "421") == {"exact_match": 0, "contains": 0}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{bad\n"], r"q.jsonl:1: not a JSON line"),
        ([{"question": "a", "answer": "b"}, {"answer": "b"}], r"q.jsonl:2: not a question"),
        ([{"question": "a", "choices": ["x", "y"], "answer": 2}], r"q.jsonl:1: the answer is none of the choices"),
        ([{"question": "a", "choices": ["x", "y"], "answer": True}], r"q.jsonl:1: the answer is none"),
        ([{"question": "a", "choices": ["x"], "answer": 0}], r"q.jsonl:1: bad choices"),
        ([{"question": "a", "choices": ["x", 3], "answer": 0}], r"q.jsonl:1: bad choices"),
        ([{"question": "a", "answer": " "}], r"q.jsonl:1: an empty answer"),
        ([{"question": "a", "choices": ["x", "y"], "answer": 0}, {"question": "a", "answer": "b"}], r"q.jsonl:2: a q"),
        ([], "no questions"),
        (["[1]\n"], r"q.jsonl:1: not a question"),
    ],
)
def test_bad_files_are_named_by_line(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        file_task(written(tmp_path / "q.jsonl", lines))


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        make_task(f"file:{tmp_path / 'none.jsonl'}")


def test_prompts_are_plain_questions():
    (conversation,) = conversations_of([arithmetic_task().items(0, 1)[0].prompt])
    assert conversation.messages[0]["role"] == "user"
