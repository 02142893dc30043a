"""What a check can say: findings of declared kinds, facts, and what was left unseen; each in two languages.

The kinds and their words stand in `findings.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Generic, Literal, NamedTuple, TypeVar

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Language = Literal["en", "zh"]
LISTED = 5
"""Names or lines told one by one before "and n more"."""
Subject = TypeVar("Subject")


class Words(NamedTuple):
    """One text in both languages, perhaps with {places} to fill."""

    en: str
    zh: str

    def of(self, language: Language) -> str:
        return self.en if language == "en" else self.zh

    def filled(self, **values: object) -> Words:
        """Values that are `Words` fill in their own language."""
        ours = ({name: _in(language, value) for name, value in values.items()} for language in ("en", "zh"))
        return Words(*(text.format(**filling) for text, filling in zip(self, ours, strict=True)))


@dataclass(frozen=True)
class Kind:
    """One thing that can be wrong."""

    code: str
    severity: Severity
    says: Words
    fix: Words

    def at(self, where: object = "", **values: object) -> Finding:
        """This, found at a file, a line or a tensor."""
        return Finding(self, str(where), values)


@dataclass(frozen=True)
class Finding:
    """A kind, where it was found, and the values its sentence names."""

    kind: Kind
    where: str
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def sentence(self) -> Words:
        return self.kind.says.filled(**self.values)

    @property
    def fix(self) -> Words:
        return self.kind.fix.filled(**self.values)

    def record(self, language: Language = "en") -> dict[str, Any]:
        return {
            "severity": self.kind.severity,
            "code": self.kind.code,
            "where": self.where,
            "sentence": self.sentence.of(language),
            "fix": self.fix.of(language),
        }


class Fact(NamedTuple):
    """Something worth seeing that is neither right nor wrong."""

    name: str
    label: Words
    value: Words


class Unseen(NamedTuple):
    """What was not looked at, and how to have it looked at."""

    what: Words


Outcome = Finding | Fact | Unseen


def kind(code: str) -> Kind:
    """The kind of that code; a check asks for those it can find when it is imported."""
    record = known()[code]
    return Kind(code, record["severity"], Words(**record["says"]), Words(**record["fix"]))


@cache
def known() -> Mapping[str, Any]:
    """The table of kinds."""
    table: Mapping[str, Any] = tomllib.loads(files(__package__).joinpath("findings.toml").read_text("utf-8"))
    return table


@dataclass(frozen=True, kw_only=True)
class Check(Generic[Subject]):
    """A function from what was opened to outcomes, and all kinds of finding it may yield."""

    title: Words
    run: Callable[[Subject], Iterator[Outcome]]
    kinds: tuple[Kind, ...]


def same(text: str) -> Words:
    """Words that read alike in every language."""
    return Words(text, text)


def listed(names: Any) -> Words:
    """Some names, and how many more there are."""
    names = [str(name) for name in names]
    shown, more = ", ".join(names[:LISTED]), len(names) - LISTED
    return Words(f"{shown} and {more:,} more", f"{shown} 等 {len(names):,} 个") if more > 0 else same(shown)


def _in(language: str, value: object) -> object:
    return (value.en if language == "en" else value.zh) if isinstance(value, Words) else value
