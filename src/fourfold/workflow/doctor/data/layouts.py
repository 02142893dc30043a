"""The layouts of training records, told by their keys, and what a record says in each."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from fourfold.adaptation.alignment import parse_preference
from fourfold.adaptation.instruction import parse_conversation

Layout = Literal["messages", "sharegpt", "alpaca", "instances", "question-answer", "preference", "text", "unknown"]
ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant",
    "model": "assistant", "bot": "assistant", "system": "system", "developer": "system", "function_call": "assistant",
    "tool_calls": "assistant", "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
}  # fmt: skip
"""Names of roles in the wild, and who speaks."""
QUESTIONS = ("prompt", "question", "query", "input")
ANSWERS = ("completion", "response", "answer", "output", "std_answer", "target")
TEXTS = ("text", "content", "body")
SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")


class Turn(NamedTuple):
    """One turn as written."""

    role: str
    text: str

    @property
    def speaker(self) -> str:
        return ROLES.get(self.role, "unknown")


class Row(NamedTuple):
    """One record, whatever its layout."""

    line: int
    layout: Layout
    turns: tuple[Turn, ...] = ()
    """The conversation; of a preference what stands before the answers; of a plain text one turn of nobody."""
    chosen: tuple[Turn, ...] = ()
    rejected: tuple[Turn, ...] = ()
    problem: str = ""
    """Why the record is not what its layout asks for."""
    refusal: str = ""
    """Why our own trainer would not read it; empty where it would."""

    @property
    def text(self) -> str:
        return "\n".join(turn.text for turn in (*self.turns, *self.chosen))

    @property
    def is_conversation(self) -> bool:
        return self.layout not in ("text", "preference", "unknown") and not self.problem


def layout_of(record: Any) -> Layout:
    """By the keys alone."""
    if isinstance(record, str):
        return "text"
    if not isinstance(record, dict):
        return "unknown"
    keys = record.keys()
    if "chosen" in keys and "rejected" in keys:
        return "preference"
    if "messages" in keys:
        return "messages"
    if "conversations" in keys:
        return "sharegpt"
    if "instruction" in keys and "instances" in keys:
        return "instances"
    if "instruction" in keys and "output" in keys:
        return "alpaca"
    if any(key in keys for key in QUESTIONS) and any(key in keys for key in ANSWERS):
        return "question-answer"
    return "text" if any(isinstance(record.get(key), str) for key in TEXTS) else "unknown"


def row_of(line: int, record: Any) -> Row:
    """A record read by its layout; what is wrong with it is its `problem`."""
    layout = layout_of(record)
    try:
        return _READERS[layout](line, record)._replace(refusal=refusal_of(layout, record))
    except ValueError as error:
        return Row(line, layout, problem=str(error))


def refusal_of(layout: Layout, record: Any) -> str:
    """What our readers say of a record, "" where they take it."""
    if layout in ("text", "unknown"):
        return ""
    try:
        parse_preference(record) if layout == "preference" else parse_conversation(record)
    except ValueError as error:
        return str(error)
    return ""


def _messages(line: int, record: Any) -> Row:
    return Row(line, "messages", turns_of(record["messages"]))


def _sharegpt(line: int, record: Any) -> Row:
    turns = turns_of(record["conversations"])
    system = record.get("system")
    before = (Turn("system", system),) if isinstance(system, str) and system else ()
    return Row(line, "sharegpt", (*before, *turns))


def _alpaca(line: int, record: Any) -> Row:
    question = "\n\n".join(_string(record.get(key) or "", key) for key in ("instruction", "input") if record.get(key))
    return Row(line, "alpaca", (Turn("user", question), Turn("assistant", _string(record["output"], "output"))))


def _instances(line: int, record: Any) -> Row:
    instances = record["instances"]
    if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
        raise ValueError("'instances' is not a list of objects")
    first = instances[0]
    question = "\n\n".join(_string(part, "input") for part in (record["instruction"], first.get("input")) if part)
    return Row(line, "instances", (Turn("user", question), Turn("assistant", _string(first.get("output"), "output"))))


def _question(line: int, record: Any) -> Row:
    asked = next(key for key in QUESTIONS if key in record)
    answered = next(key for key in ANSWERS if key in record and key != asked)
    answer = record[answered]
    choices = record.get("choices", record.get("options"))
    if isinstance(choices, list) and type(answer) is int and 0 <= answer < len(choices):
        answer = choices[answer]
    if isinstance(answer, list) and all(isinstance(item, str) for item in answer):
        answer = "\n".join(answer)
    turns = (Turn("user", _string(record[asked], asked)), Turn("assistant", _string(answer, answered)))
    return Row(line, "question-answer", turns)


def _preference(line: int, record: Any) -> Row:
    before = next((record[key] for key in ("prompt", "conversations", "question", "messages") if key in record), None)
    if before is None and "instruction" in record:
        before = "\n\n".join(str(part) for part in (record["instruction"], record.get("input")) if part)
    sides = [record["chosen"], record["rejected"]]
    if before is None and all(isinstance(side, str) and SPEAKER.match(side) for side in sides):
        return _transcripts(line, *sides)
    turns = () if before is None else (Turn("user", before),) if isinstance(before, str) else turns_of(before)
    chosen, rejected = (
        (Turn("assistant", side),) if isinstance(side, str) else turns_of(side if isinstance(side, list) else [side])
        for side in sides
    )
    return Row(line, "preference", turns, chosen, rejected)


def _transcripts(line: int, chosen: str, rejected: str) -> Row:
    """Anthropic's form: both sides are whole conversations as text; what they share stands before the answers."""
    sides = []
    for text in (chosen, rejected):
        pieces = SPEAKER.split(text)[1:]
        roles = ("user" if name == "Human" else "assistant" for name in pieces[::2])
        sides.append([Turn(role, words) for role, words in zip(roles, pieces[1::2], strict=True)])
    shared = 0
    while shared < min(map(len, sides)) - 1 and sides[0][shared] == sides[1][shared]:
        shared += 1
    one, other = (tuple(side[shared:]) for side in sides)
    return Row(line, "preference", tuple(sides[0][:shared]), one, other)


def _text(line: int, record: Any) -> Row:
    if isinstance(record, str):
        return Row(line, "text", (Turn("", record),))
    return Row(line, "text", (Turn("", next(record[key] for key in TEXTS if isinstance(record.get(key), str))),))


def _unknown(line: int, record: Any) -> Row:
    if isinstance(record, dict):
        raise ValueError(f"keys {', '.join(list(map(str, record))[:6]) or 'none'}")
    raise ValueError("not a JSON object")


def turns_of(value: Any) -> tuple[Turn, ...]:
    """Turns under `role` and `content`, or `from` and `value`; contents of several parts are joined."""
    if not isinstance(value, list) or not value:
        raise ValueError("no turns")
    turns = []
    for number, turn in enumerate(value, 1):
        role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
        content = turn.get("content", turn.get("value")) if isinstance(turn, dict) else None
        if isinstance(content, list):
            content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if content is None and isinstance(turn, dict) and turn.get("tool_calls"):
            content = str(turn["tool_calls"])
        if not isinstance(role, str) or not isinstance(content, str):
            raise ValueError(f"turn {number} has no role with a text")
        turns.append(Turn(role, content))
    return tuple(turns)


def _string(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"'{key}' is not a text")
    return value


_READERS = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "instances": _instances,
    "question-answer": _question,
    "preference": _preference,
    "text": _text,
    "unknown": _unknown,
}
