"""Every sentence of the report in English and Chinese, from one file of strings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

from markupsafe import Markup, escape

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


class Text(NamedTuple):
    """One text in both languages."""

    en: str
    zh: str

    def of(self, language: Language) -> str:
        return self.en if language == "en" else self.zh

    def __html__(self) -> Markup:
        """Both texts escaped, each marked with its language; the page shows one of them."""
        if self.en == self.zh:
            return escape(self.en)
        return Markup('<span lang="en">{}</span><span lang="zh">{}</span>').format(self.en, self.zh)


@cache
def _strings() -> Mapping[str, Mapping[Language, str]]:
    source = resources.files(__package__).joinpath("strings.json")
    strings: Mapping[str, Mapping[Language, str]] = json.loads(source.read_text("utf-8"))
    return strings


def words(key: str, **values: object) -> Text:
    """The text of a key with its placeholders filled; values that are a `Text` fill in their own language."""
    entry = _strings()[key]
    return Text(*(entry[language].format(**_in_language(values, language)) for language in LANGUAGES))


def words_or(key: str, default: str) -> Text:
    """The text of a key, or the default where the run holds a name we have no words for."""
    return words(key) if key in _strings() else Text(default, default)


def joined(parts: list[Text], en: str = "; ", zh: str = "；") -> Text:
    return Text(en.join(part.en for part in parts), zh.join(part.zh for part in parts))


def _in_language(values: Mapping[str, object], language: Language) -> dict[str, object]:
    return {name: value.of(language) if isinstance(value, Text) else value for name, value in values.items()}
