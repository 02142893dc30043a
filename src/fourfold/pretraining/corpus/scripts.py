"""What a text looks like: scripts, a guess at its language, sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_SCRIPTS = {
    "Latin": re.compile("[A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]"),
    "Han": re.compile(f"[{HAN}]"),
    "Kana": re.compile("[\u3041-\u30ff]"),
    "Hangul": re.compile("[\uac00-\ud7a3\u1100-\u11ff]"),
    "Cyrillic": re.compile("[\u0400-\u052f]"),
    "Greek": re.compile("[\u0370-\u03ff]"),
    "Arabic": re.compile("[\u0600-\u06ff]"),
    "Hebrew": re.compile("[\u0590-\u05ff]"),
    "Devanagari": re.compile("[\u0900-\u097f]"),
    "Thai": re.compile("[\u0e00-\u0e7f]"),
}
_LANGUAGE_OF_SCRIPT = {
    "Kana": "ja", "Hangul": "ko", "Cyrillic": "ru", "Greek": "el", "Arabic": "ar",
    "Hebrew": "he", "Devanagari": "hi", "Thai": "th", "Han": "zh",
}  # fmt: skip
_STOP_WORDS = {
    "en": {"the", "of", "and", "to", "in", "is", "that", "for", "with", "be"},
    "de": {"der", "die", "und", "das", "ist", "nicht", "ein", "zu", "den", "mit"},
    "fr": {"le", "la", "les", "et", "des", "est", "une", "du", "que", "dans"},
    "es": {"el", "la", "los", "y", "que", "del", "una", "las", "por", "con"},
    "it": {"il", "di", "che", "è", "una", "della", "per", "non", "sono", "gli"},
    "pt": {"o", "os", "que", "não", "uma", "do", "da", "em", "para", "com"},
    "nl": {"de", "het", "een", "van", "en", "niet", "dat", "zijn", "op", "met"},
}
_PROBE = 20_000


@lru_cache(maxsize=65536)
def _script_of(character: str) -> str | None:
    return next((name for name, pattern in _SCRIPTS.items() if pattern.match(character)), None)


def script_counts(text: str) -> dict[str, int]:
    """Letters of each script; scripts that do not occur are left out."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if (script := _script_of(character)) is not None:
            counts[script] += count
    return dict(counts)


def language_of(text: str) -> str:
    """An ISO 639-1 code from the main script, and from function words for Latin script.

    A Han character weighs three Latin letters, which is about what it takes to say the same. A good
    guess for naming groups, no language identification.
    """
    text = text[:_PROBE]
    counts = Counter(script_counts(text))
    if not counts:
        return "other"
    counts["Han"] *= 3
    if counts["Kana"] > 0.1 * counts["Han"]:
        counts["Kana"] += counts["Han"]
    script = counts.most_common(1)[0][0]
    return _LANGUAGE_OF_SCRIPT.get(script) or _latin_language(text)


def _latin_language(text: str) -> str:
    """English unless the function words of another language are twice as many."""
    words = Counter(re.findall(r"[^\W\d_]+", text.lower()))
    hits = {language: sum(words[word] for word in stops) for language, stops in _STOP_WORDS.items()}
    best = max(hits, key=lambda language: hits[language])
    return best if hits[best] > 2 * hits["en"] else "en"


def measure_texts(texts: Iterable[str], tokens: int | None = None) -> dict[str, Any]:
    """Sizes for a data card: bytes, characters, share of letters a script; with `tokens`, tokens a byte."""
    byte_count = characters = documents = 0
    scripts: Counter[str] = Counter()
    for text in texts:
        documents += 1
        characters += len(text)
        byte_count += len(text.encode())
        scripts.update(script_counts(text))
    letters = max(scripts.total(), 1)
    card: dict[str, Any] = {
        "documents": documents,
        "bytes": byte_count,
        "characters": characters,
        "scripts": {name: round(count / letters, 4) for name, count in scripts.most_common()},
    }
    if tokens is not None:
        card["tokens"] = tokens
        card["tokens_per_byte"] = tokens / max(byte_count, 1)
    return card
