"""Labelled data of downstream tasks: one record type, four kinds of task, JSONL files of each.

A file has one object a line:

    classification   {"text": …, "label": …}, also with "question" as a second text
    tagging          {"tokens": [word, …], "tags": [tag, …]}
    extraction       {"context": …, "question": …, "answer": …}, or SQuAD's "answers" (a list, or {"text": […]});
                     "start", the answer's first character, where the words occur more than once
    seq2seq          {"source": …, "target": …}

Any of them may have "group", such as the document it is from: groups are held out whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from fourfold.errors import UserError
from fourfold.files import read_jsonl

TaskKind = Literal["classification", "tagging", "extraction", "seq2seq"]
TASKS: tuple[TaskKind, ...] = get_args(TaskKind)


class Tag(NamedTuple):
    """The characters `start` to `end`, not included, and what they are."""

    start: int
    end: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """A text and what is wanted of it."""

    text: str
    question: str = ""
    """A second text, read first."""
    answer: str = ""
    """The class, the words to be found, or the text to be written."""
    start: int = -1
    """Where in the text the answer begins (extraction)."""
    tags: tuple[Tag, ...] = ()
    group: str = ""
    """What it is from; records of one group are not independent."""


def read_task_records(path: Path, kind: TaskKind) -> list[Record]:
    """The records of a file; UserError names the line that is none."""
    records = []
    for number, value in read_jsonl(path):
        try:
            records.append(_READERS[kind](value))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"no record for {kind}", where=f"{path}:{number}", expected=_FORMS[kind], got=str(error)
            ) from None
    if not records:
        raise UserError("no records", where=path)
    return records


def hold_out(records: Sequence[Record], share: float = 0.2) -> tuple[list[Record], list[Record]]:
    """Records to learn from and records to be measured on: whole groups, by a hash of their name or text."""
    kept: tuple[list[Record], list[Record]] = ([], [])
    for record in records:
        digest = hashlib.sha256((record.group or record.text + record.question).encode()).digest()
        kept[int.from_bytes(digest[:7]) / 2**56 < share].append(record)
    return kept


def _classification(value: Mapping[str, Any]) -> Record:
    label = value["label"]
    if not isinstance(label, str | int):
        raise TypeError(f"a label of type {type(label).__name__}")
    return Record(
        text=_text(value, "text"), question=str(value.get("question", "")), answer=str(label), group=_group(value)
    )


def _tagging(value: Mapping[str, Any]) -> Record:
    words, names = list(value["tokens"]), list(value["tags"])
    if len(words) != len(names) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{len(words)} tokens and {len(names)} tags")
    tags, place = [], 0
    for word, name in zip(words, names, strict=True):
        tags.append(Tag(place, place + len(word), str(name)))
        place += len(word) + 1
    return Record(text=" ".join(words), tags=tuple(tags), group=_group(value))


def _extraction(value: Mapping[str, Any]) -> Record:
    text, answers = _text(value, "context"), value.get("answers", value.get("answer"))
    start = value.get("start")
    if isinstance(answers, Mapping):
        start = answers["answer_start"][0] if "answer_start" in answers and start is None else start
        answers = answers["text"]
    if isinstance(answers, list):
        answers = answers[0]
    if isinstance(answers, Mapping):
        start, answers = answers.get("answer_start", start), answers["text"]
    if not isinstance(answers, str) or not answers:
        raise ValueError("no answer")
    place = text.find(answers) if start is None else int(start)
    if text[place : place + len(answers)] != answers or place < 0:
        raise ValueError("the answer does not stand in the context")
    return Record(text=text, question=_text(value, "question"), answer=answers, start=place, group=_group(value))


def _seq2seq(value: Mapping[str, Any]) -> Record:
    return Record(text=_text(value, "source"), answer=_text(value, "target"), group=_group(value))


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value[key]
    if not isinstance(text, str):
        raise TypeError(f"'{key}' is no text")
    return text


def _group(value: Mapping[str, Any]) -> str:
    return str(value.get("group", ""))


_READERS: Mapping[TaskKind, Callable[[Mapping[str, Any]], Record]] = {
    "classification": _classification,
    "tagging": _tagging,
    "extraction": _extraction,
    "seq2seq": _seq2seq,
}
_FORMS: Mapping[TaskKind, str] = {
    "classification": '{"text": …, "label": …}',
    "tagging": '{"tokens": […], "tags": […]}',
    "extraction": '{"context": …, "question": …, "answer": …}',
    "seq2seq": '{"source": …, "target": …}',
}
