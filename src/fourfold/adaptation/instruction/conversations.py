"""Conversations in files: messages, Alpaca and ShareGPT, as JSON lines or one JSON list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fourfold.errors import UserError
from fourfold.files import read_json, read_text, write_jsonl
from fourfold.inference import Message
from fourfold.progress import say

T = TypeVar("T")

ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}
NAMED = 5
"""Bad lines that are named one by one; the rest is counted."""


def read_conversations(path: Path, *, strict: bool = False) -> list[list[Message]]:
    """Every conversation of a file. A bad line is skipped and named, or with `strict` an error."""
    return read_records(path, parse_conversation, strict=strict)


def write_conversations(path: Path, conversations: Iterable[Sequence[Message]]) -> int:
    """One {"messages": …} a line; returns how many."""
    return write_jsonl(path, ({"messages": list(messages)} for messages in conversations))


def parse_conversation(record: Any) -> list[Message]:
    """A record of any of the three layouts as messages; a ValueError says what is wrong."""
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if "messages" in record:
        return as_messages(record["messages"], "role", "content")
    if "conversations" in record:
        return as_messages(record["conversations"], "from", "value")
    if "instruction" in record and "output" in record:
        question = "\n\n".join(part for part in (record["instruction"], record.get("input")) if part)
        return as_messages(
            [{"role": "user", "content": question}, {"role": "assistant", "content": record["output"]}],
            "role",
            "content",
        )
    raise ValueError("neither 'messages' nor 'conversations' nor 'instruction' with 'output'")


def as_messages(turns: Any, role: str, content: str) -> list[Message]:
    """Checked messages from a list of turns whose keys are named `role` and `content`."""
    if not isinstance(turns, list) or not turns:
        raise ValueError("no turns")
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, dict) or turn.get(role) not in ROLES or not isinstance(turn.get(content), str):
            raise ValueError(f"turn {len(messages) + 1} has no known '{role}' with a text '{content}'")
        messages.append({"role": ROLES[turn[role]], "content": turn[content]})
    return messages


def read_records(path: Path, parse: Callable[[Any], T], *, strict: bool = False) -> list[T]:
    """Parse every record of a .json list or of JSON lines; bad ones are skipped and named by line."""
    records: list[T] = []
    bad: list[str] = []
    for place, value in _values(path):
        try:
            records.append(parse(json.loads(value) if isinstance(value, str) else value))
        except ValueError as error:
            bad.append(f"{path}:{place}: {_reason(error)}")
            if strict:
                raise UserError(_reason(error), where=f"{path}:{place}") from None
    for line in bad[:NAMED]:
        say(f"skipped {line}")
    if len(bad) > NAMED:
        say(f"skipped {len(bad) - NAMED} more bad lines of {path}")
    if not records:
        raise UserError("no usable record", where=path, got=f"{len(bad)} bad ones" if bad else "an empty file")
    return records


def _values(path: Path) -> Iterator[tuple[int, Any]]:
    """(number from 1, the text of a line or a value of a JSON list)."""
    if path.suffix == ".json":
        values = read_json(path)
        yield from enumerate(values if isinstance(values, list) else [values], 1)
    else:
        for number, line in enumerate(read_text(path).split("\n"), 1):
            if line.strip():
                yield number, line


def _reason(error: ValueError) -> str:
    return f"not a JSON line ({error.msg})" if isinstance(error, json.JSONDecodeError) else str(error)
