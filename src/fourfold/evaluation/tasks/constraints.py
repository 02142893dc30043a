"""Instructions whose following a program can check, one constraint each (the kind of Zhou et al. 2023).

The wordings are our own, in English and Chinese.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fourfold.measures import words_of

Arguments = Mapping[str, Any]


class Constraint(NamedTuple):
    """A wording a language, with places for arguments, and the check of an answer."""

    wordings: Mapping[str, str]
    arguments: Callable[[random.Random], dict[str, Any]]
    check: Callable[[str, Arguments], bool]


def _none(generator: random.Random) -> dict[str, Any]:
    return {}


def _json_object(answer: str, arguments: Arguments) -> bool:
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and arguments["key"] in value


def _bullets(answer: str, arguments: Arguments) -> bool:
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return sum(line.startswith(("- ", "* ")) for line in lines) == int(arguments["count"])


def _ends_with(answer: str, arguments: Arguments) -> bool:
    return answer.rstrip().endswith(str(arguments["phrase"]))


def _cased(answer: str, upper: bool) -> bool:
    return any(c.isalpha() for c in answer) and answer == (answer.upper() if upper else answer.lower())


CONSTRAINTS: dict[str, Constraint] = {
    "exact_words": Constraint(
        {"en": "Answer with exactly {count} words.", "zh": "请恰好用{count}个汉字回答。"},
        lambda g: {"count": g.randint(1, 6)},
        lambda answer, a: len(words_of(answer)) == a["count"],
    ),
    "at_most_words": Constraint(
        {"en": "Use at most {count} words.", "zh": "回答不超过{count}个汉字。"},
        lambda g: {"count": g.choice([8, 12, 16, 20])},
        lambda answer, a: 0 < len(words_of(answer)) <= a["count"],
    ),
    "lower_case": Constraint(
        {"en": "Write your whole answer in lowercase letters."}, _none, lambda answer, a: _cased(answer, upper=False)
    ),
    "upper_case": Constraint(
        {"en": "Write your whole answer in capital letters."}, _none, lambda answer, a: _cased(answer, upper=True)
    ),
    "json": Constraint(
        {
            "en": 'Answer with a JSON object that has the key "{key}", and nothing else.',
            "zh": '只用一个含有键"{key}"的JSON对象回答。',
        },
        lambda g: {"key": g.choice(["answer", "fact", "summary", "note"])},
        _json_object,
    ),
    "ends_with": Constraint(
        {"en": 'End your answer with the exact words "{phrase}"', "zh": "请以“{phrase}”结束你的回答。"},
        lambda g: {"phrase": g.choice(["That is all.", "Thank you for asking.", "谢谢提问。"])},
        _ends_with,
    ),
    "starts_with": Constraint(
        {"en": 'Begin your answer with the word "{word}".'},
        lambda g: {"word": g.choice(["Certainly", "Briefly", "Well", "Indeed"])},
        lambda answer, a: answer.lstrip().startswith(a["word"]),
    ),
    "bullets": Constraint(
        {"en": 'Answer with exactly {count} bullet points, each on a line that begins with "- ".'},
        lambda g: {"count": g.randint(2, 4)},
        _bullets,
    ),
    "no_commas": Constraint(
        {"en": "Do not use any commas.", "zh": "回答中不要使用逗号。"},
        _none,
        lambda answer, a: bool(answer.strip()) and not set(answer) & set(",，、"),
    ),
    "quoted": Constraint(
        {"en": "Put your whole answer in double quotation marks."},
        _none,
        lambda answer, a: len(answer.strip()) > 2 and answer.strip()[0] == answer.strip()[-1] == '"',
    ),
}

TOPICS: dict[str, tuple[str, ...]] = {
    "en": (
        "Tell me something about rivers.",
        "What is bread made of?",
        "Describe the moon.",
        "Why do people read books?",
        "What does a carpenter do?",
        "Say something about winter.",
        "What is a bicycle good for?",
        "How do bees live?",
        "Describe a market.",
        "What is music?",
        "Why is sleep important?",
        "Tell me about trains.",
        "What do trees need?",
        "Describe a good friend.",
    ),
    "zh": ("介绍一下茶。", "月亮是什么样子的？", "为什么要读书？", "说说冬天。", "什么是音乐？", "树木需要什么？"),
}
