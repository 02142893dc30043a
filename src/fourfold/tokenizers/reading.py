"""Can a tokenizer read a text? What it spends on each script, against what it spends on English.

A vocabulary learned from English cuts other scripts into bytes: a model over it has hardly seen
them, pays more for each character, and has less of the text in its context. The price of a byte
in tokens is the same unit for every script, so a byte-level model, which pays 1 for all, is not
taken for one that knows English alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

ENGLISH = "Most of the people who came to the meeting had read the report before, and they agreed with it."
TOO_MANY_TIMES = 2.0
"""Tokens a byte, relative to English, above which a script counts as hardly readable; multilingual
vocabularies stay near 1, GPT-2's and SmolLM2's pay 2.7 and more for Chinese."""
LEAST_CHARACTERS, LEAST_SHARE = 20, 0.05
"""A script that occurs less is a quotation, not the text's own."""
LOOK_CHARACTERS = 20_000
NAMES = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana"}


class ScriptCost(NamedTuple):
    """What one script of a text costs a tokenizer."""

    script: str
    characters: int
    tokens_per_character: float
    times_english: float
    """Tokens a byte, relative to a sentence of plain English."""


def script_costs(encode: Callable[[str], Sequence[int]], texts: Iterable[str]) -> list[ScriptCost]:
    """The scripts of the start of these texts, dearest first, Latin left out.

    `encode` gives the ids of a text; what it adds to every text is not counted.
    """
    letters = _letters_by_script(texts)
    total = sum(len(run) for runs in letters.values() for run in runs)
    added = len(encode(""))
    english = (len(encode(ENGLISH)) - added) / len(ENGLISH)
    costs = []
    for script, runs in letters.items():
        text = "".join(runs)
        if script == "Latin" or len(text) < max(LEAST_CHARACTERS, LEAST_SHARE * total):
            continue
        tokens = sum(len(encode(run)) - added for run in runs)
        per_byte = tokens / len(text.encode())
        costs.append(ScriptCost(script, len(text), tokens / len(text), per_byte / english))
    return sorted(costs, key=lambda cost: -cost.times_english)


def hard_to_read(encode: Callable[[str], Sequence[int]], texts: Iterable[str]) -> str | None:
    """A clause that says a model of this tokenizer can hardly read these texts, or None if it can."""
    for cost in script_costs(encode, texts):
        if cost.times_english > TOO_MANY_TIMES:
            kind = "character" if cost.script in ("Han", "Kana", "Hangul") else "letter"
            return f"{cost.tokens_per_character:.2f} tokens a {cost.script} {kind}: this model is English-only"
    return None


def _letters_by_script(texts: Iterable[str]) -> dict[str, list[str]]:
    """Runs of letters of one script."""
    found: dict[str, list[str]] = {}
    seen = 0
    for text in texts:
        part = text[: LOOK_CHARACTERS - seen]
        seen += len(part)
        for word in re.findall(r"[^\W\d_]+", part):
            start = 0
            scripts = [_script(character) for character in word]
            for end in range(1, len(word) + 1):
                if end == len(word) or scripts[end] != scripts[start]:
                    found.setdefault(scripts[start], []).append(word[start:end])
                    start = end
        if seen >= LOOK_CHARACTERS:
            break
    return found


def _script(character: str) -> str:
    """The first word of the character's Unicode name says the script."""
    first = unicodedata.name(character, "OTHER").partition(" ")[0]
    return NAMES.get(first, first.capitalize())
