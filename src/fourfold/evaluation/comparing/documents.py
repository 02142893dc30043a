"""The question, the choices and the answer of a data set's own record, whatever its columns are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_QUESTIONS = ("question", "question_stem", "goal", "sentence", "prompt", "query", "ctx", "problem", "input", "text")
_CHOICE_LISTS = ("choices", "endings", "options", "mc1_targets")
_CHOICE_COLUMNS = (
    ("A", "B", "C", "D", "E"),
    ("sol1", "sol2"),
    ("option1", "option2"),
    ("answerA", "answerB", "answerC"),
)


def question_of(doc: Mapping[str, Any]) -> str:
    """The question as the data set has it, without passage, choices or wording; "" if no known column holds one."""
    return next((doc[name] for name in _QUESTIONS if isinstance(doc.get(name), str)), "")


def choices_of(doc: Mapping[str, Any]) -> tuple[str, ...]:
    """The choices in their order; () for a record without."""
    for name in _CHOICE_LISTS:
        found = doc.get(name)
        if isinstance(found, Mapping):  # {"text": […], "label": […]}, or TruthfulQA's {"choices": […], "labels": […]}
            found = found.get("text", found.get("choices"))
        if isinstance(found, list) and found and all(isinstance(one, str) for one in found):
            return tuple(found)
    for columns in _CHOICE_COLUMNS:
        texts = [str(doc[name]) for name in columns if isinstance(doc.get(name), str | int | float)]
        if len(texts) > 1:
            return tuple(texts)
    return ()


def target_of(target: Any, choices: Sequence[str]) -> str:
    """The right answer in words; lm-eval writes its number where there are choices."""
    text = str(target if target is not None else "").strip()
    if choices and text.isdecimal() and int(text) < len(choices) and text not in choices:
        return choices[int(text)]
    if len(choices) <= 26 and len(text) == 1 and "A" <= text <= "Z" and ord(text) - 65 < len(choices):
        return choices[ord(text) - 65]
    return text
