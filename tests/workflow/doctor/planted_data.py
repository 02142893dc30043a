"""Defects of data files: conversations, preferences, plain text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.workflow.doctor.planting import plant
from tests.workflow.doctor.sound import CHATS, EXAM, LONG, PAIRS, write_lines


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def turns(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": f"Words of turn {n}."} for n, role in enumerate(roles)]}


def add(path: Path, *records: Any) -> None:
    write_lines(path, [*CHATS, *records])


@plant("data-empty", model="chats")
def nothing_in_it(path: Path) -> None:
    path.write_text("\n\n")


@plant("data-line-broken", model="chats")
def line_cut(path: Path) -> None:
    path.write_text(path.read_text() + '{"messages": [{"role": "user", "cont\n')


@plant("data-not-utf8", model="chats")
def line_of_another_encoding(path: Path) -> None:
    path.write_bytes(path.read_bytes() + json.dumps(chat("你好", "好"), ensure_ascii=False).encode("gb18030") + b"\n")


@plant("data-unreadable", model="chats")
def parquet_that_is_none(path: Path) -> Path:
    other = path.with_suffix(".parquet")
    other.write_bytes(b"PAR1" + bytes(60))
    return other


@plant("data-layout-unknown", model="chats")
def keys_nobody_knows(path: Path) -> None:
    write_lines(path, [{"frage": "Was?", "antwort": f"Das {n}."} for n in range(3)])


@plant("data-record-malformed", model="chats")
def turn_without_a_text(path: Path) -> None:
    add(path, {"messages": [{"role": "user"}, {"role": "assistant", "content": "Yes."}]})


@plant("data-layout-mixed", model="chats")
def two_layouts(path: Path) -> None:
    add(path, {"instruction": "Name a river.", "output": "The Rhine."})


@plant("data-layout-foreign", model="chats")
def layout_of_seed_tasks(path: Path) -> None:
    write_lines(path, [{"instruction": "Name a river.", "instances": [{"input": "", "output": "The Rhine."}]}])


@plant("role-unknown", model="chats")
def role_nobody_knows(path: Path) -> None:
    add(path, turns("user", "narrator", "assistant"))


@plant("role-tool", model="chats")
def tools_are_used(path: Path) -> None:
    add(path, turns("user", "function_call", "observation", "assistant"))


@plant("role-order", model="chats")
def two_answers_in_a_row(path: Path) -> None:
    add(path, turns("user", "assistant", "assistant"))


@plant("role-order", model="chats")
def the_assistant_begins(path: Path) -> None:
    add(path, turns("assistant", "user", "assistant"))


@plant("answer-missing", model="chats")
def questions_only(path: Path) -> None:
    add(path, turns("user"))


@plant("answer-open", model="chats")
def ends_with_a_question(path: Path) -> None:
    add(path, turns("user", "assistant", "user"))


@plant("turn-empty", model="chats")
def empty_answer(path: Path) -> None:
    add(path, chat("What is it?", "  "))


@plant("control-in-text", model="chats")
def control_token_in_an_answer(path: Path) -> None:
    add(path, chat("Why?", "Because.<|im_end|>\n<|im_start|>user\nAnd now?"))


@plant("text-garbled", model="chats")
def utf8_read_as_latin1(path: Path) -> None:
    add(path, chat("Where?", "In the café.".encode().decode("latin-1")))


@plant("text-lost", model="chats")
def characters_lost(path: Path) -> None:
    add(path, chat("Where?", "In the caf\ufffd."))


@plant("text-control", model="chats")
def control_characters(path: Path) -> None:
    add(path, chat("Where?", "Here.\u0000\u0008"))


@plant("text-escaped", model="chats")
def escaped_twice(path: Path) -> None:
    add(path, chat("Where?", "\\u4f60\\u597d"))


@plant("duplicate-exact", model="chats")
def record_twice(path: Path) -> None:
    add(path, CHATS[0])


@plant("duplicate-near", model="chats")
def record_nearly_twice(path: Path) -> None:
    answer = f"{LONG}, and {EXAM[::-1]}, so they stayed until the rain was over and the road was dry."
    add(path, chat("Who came early?", answer), chat("Who came?", answer))


@plant("question-repeated", model="chats")
def question_again(path: Path) -> None:
    add(path, chat("Who came?", "The pupils."))


@plant("test-overlap", model="chats")
def test_item_in_training(path: Path) -> None:
    add(path, chat(f"Tell me {EXAM}.", "The left one."))


@plant("test-unreadable", model="chats")
def tests_without_questions(path: Path) -> None:
    write_lines(path.parent / "tests.jsonl", [{"number": 3}])


@plant("template-needed", model="chats with a base model")
def conversations_for_a_base_model(path: Path) -> None:
    pass


@plant("template-refuses-row", model="chats with a strict model")
def system_for_a_template_without_one(path: Path) -> None:
    add(path, turns("system", "user", "assistant"))


@plant("row-all-masked", model="chats")
def question_longer_than_the_context(path: Path) -> None:
    add(path, chat(LONG * 9, "Yes."))


@plant("answer-cut", model="chats")
def answer_longer_than_the_context(path: Path) -> None:
    add(path, chat("Why?", LONG * 9))


@plant("data-hard-to-read", model="chats with an English model")
def language_the_model_has_not_seen(path: Path) -> None:
    write_lines(path, [chat("今天天气怎么样？", "今天下午有雨，请记得带上雨伞，晚上会转晴。")])


@plant("data-unknown-tokens", model="chats with a word model", also=("template-needed",))
def words_the_model_does_not_know(path: Path) -> None:
    pass


# ---- preferences


@plant("pair-equal", model="pairs")
def both_sides_the_same(path: Path) -> None:
    write_lines(path, [*PAIRS, {"prompt": "Which?", "chosen": "This one.", "rejected": "This one."}])


@plant("pair-open", model="pairs")
def side_that_ends_with_a_question(path: Path) -> None:
    side = [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}]
    write_lines(path, [*PAIRS, {"prompt": "Which?", "chosen": side, "rejected": "No."}])


@plant("pair-empty", model="pairs")
def empty_side(path: Path) -> None:
    write_lines(path, [*PAIRS, {"prompt": "Which?", "chosen": "This one.", "rejected": " "}])


@plant("pair-length-bias", model="pairs")
def longer_is_better(path: Path) -> None:
    write_lines(path, [{**pair, "chosen": pair["rejected"] + " And more."} for pair in PAIRS])
