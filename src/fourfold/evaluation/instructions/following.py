"""Whether an answer follows the instructions of its prompt, strictly and loosely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fourfold.errors import unknown_name
from fourfold.evaluation.instructions.checks import CHECKS

LANGUAGE_CHECKS = ("language:response_language", "change_case:english_capital", "change_case:english_lowercase")


class Followed(NamedTuple):
    """One flag an instruction, in the prompt's order."""

    strict: list[bool]
    loose: list[bool]
    """Also true where the answer would follow without its first line, its last line or its asterisks."""


def follow(answer: str, names: Sequence[str], arguments: Sequence[Mapping[str, Any]]) -> Followed:
    """Check an answer (Zhou et al. 2023, section 2.3, equations 1 and 2); an empty answer follows nothing."""
    for name in names:
        if name not in CHECKS:
            raise unknown_name("instruction", name, CHECKS)
    given = [{key: value for key, value in one.items() if value is not None} for one in arguments]
    variants = _variants(answer)
    strict, loose = [], []
    for name, one in zip(names, given, strict=True):
        strict.append(bool(answer.strip()) and CHECKS[name](answer, one))
        loose.append(any(CHECKS[name](variant, one) for variant in variants))
    return Followed(strict, loose)


def needs_languages(names: Sequence[str]) -> bool:
    return any(name in LANGUAGE_CHECKS for name in names)


def _variants(answer: str) -> list[str]:
    """The eight of equation 2, without those that are empty."""
    lines = answer.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    return [text for one in (answer, *cut) for text in (one, one.replace("*", "")) if text.strip()]
