"""Records with choices, in the layouts they are published in, to items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.evaluation.benchmarks.records import Record, refusal
from fourfold.evaluation.task import Item
from fourfold.evaluation.wording import LETTER_NAMES, choice_index
from fourfold.files import read_json

PLAIN = '"question", "choices", "answer"'
LABELLED = '"question", "choices" with "text" and "label", "answerKey"'
LETTERED = '"question", "A", "B", "C", "D", "answer"'

Reader = Callable[[Record], Item]
Field = Callable[[str], str]


def read_choices(record: Record) -> Item:
    """A question with its choices as a list, as texts with labels, or as columns A, B, C, …"""
    values = record.values
    question = _first(values, "question", "question_stem", "Question")
    if not isinstance(question, str):
        raise refusal(record, (PLAIN, LABELLED, LETTERED))
    choices, answer = _choices(record)
    return made(record, question, choices, answer)


def by_subject(field: Field = lambda subject: subject.replace("_", " ")) -> Reader:
    """`read_choices` for benchmarks with subjects; `field` names a subject in words."""

    def read(record: Record) -> Item:
        subject = str(record.values.get("subject") or record.subject)
        item = read_choices(record)
        return with_meta(item, subject=subject, field=field(subject))

    return read


def chinese_field(benchmark: str) -> Field:
    """The Chinese name of a subject, as the benchmark's own prompts have it; an unknown one stands as it is."""
    return lambda subject: _chinese_fields()[benchmark].get(subject, subject)


@cache
def _chinese_fields() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = read_json(Path(str(files(__package__) / "subjects.json")))
    return found


def made(record: Record, question: str, choices: Sequence[str], answer: int, **meta: Any) -> Item:
    """An item named after the record's id, else after its place."""
    values = record.values
    name = next((values[key] for key in ("id", "ind", "idx", "") if values.get(key) not in (None, "")), None)
    place = f"{record.subject}/{record.line}" if record.subject else str(record.line)
    return Item(
        id=place if name is None else str(name),
        prompt=question,
        target=choices[answer],
        choices=tuple(choices),
        answer=answer,
        meta=meta,
    )


def with_meta(item: Item, **meta: Any) -> Item:
    return replace(item, meta={**item.meta, **meta})


def text_of(record: Record, *names: str, expected: Sequence[str]) -> list[str]:
    """The texts in these columns; UserError where one is absent or no text."""
    found = [record.values.get(name) for name in names]
    if not all(isinstance(text, str) for text in found):
        raise refusal(record, expected)
    return [str(text) for text in found]


def number_of(record: Record, name: str, choices: Sequence[str], *, first: int = 0) -> int:
    """The right choice as a number counted from `first`; hidden test sets have none."""
    value = str(record.values.get(name, "")).strip()
    if not value.isdecimal() or not first <= int(value) < first + len(choices):
        raise UserError(
            "no answer to this question", where=record.where, expected=f"{name} from {first} to"
            f" {first + len(choices) - 1}", got=repr(value), advice="The answers of some test splits are not public."
        )  # fmt: skip
    return int(value) - first


def _choices(record: Record) -> tuple[list[str], int]:
    values = record.values
    choices, answer = values.get("choices"), _first(values, "answer", "Answer")
    if isinstance(choices, Mapping):
        texts, labels = list(choices.get("text", ())), [str(label) for label in choices.get("label", ())]
        key = str(values.get("answerKey", "")).strip()
        if len(texts) < 2 or key not in labels:
            raise refusal(record, (LABELLED,))
        return texts, labels.index(key)
    if choices is None and isinstance(values.get("A"), str):
        texts = [values[letter] for letter in LETTER_NAMES if isinstance(values.get(letter), str)]
        key = str(answer).strip()
        if key not in LETTER_NAMES[: len(texts)]:
            raise refusal(record, (LETTERED,))
        return texts, LETTER_NAMES.index(key)
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(one, str) for one in choices):
        raise refusal(record, (PLAIN, LABELLED, LETTERED))
    return choices, choice_index(answer, choices, record.where)


def _first(values: Mapping[str, Any], *names: str) -> Any:
    return next((values[name] for name in names if name in values), None)
