"""Putting marks in place of what identifies people or opens doors, and taking them away again.

Rules, no model: e-mail addresses, telephone numbers, national identity numbers, bank cards and accounts, keys and
passwords, where they have a form that can be told. Names and addresses have none and stay; numbers with a
checksum are only taken where it is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, final


class _Rule(NamedTuple):
    kind: str
    pattern: re.Pattern[str]
    """What is replaced is its group "it", or the whole."""
    holds: Callable[[str], bool] = lambda found: True


def valid_chinese_id(number: str) -> bool:
    """The checksum of a resident identity number (GB 11643-1999, ISO 7064 MOD 11-2)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(digit) for weight, digit in zip(weights, number, strict=False))
    return number[-1].upper() == "10X98765432"[total % 11]


def valid_card(number: str) -> bool:
    """The check digit of a payment card (Luhn; ISO/IEC 7812-1, annex B)."""
    digits = [int(character) for character in number if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def valid_iban(number: str) -> bool:
    """The check digits of an international bank account number (ISO 13616, MOD 97-10)."""
    compact = re.sub(r"\s", "", number).upper()
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


_RULES = (
    _Rule("KEY", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.DOTALL)),
    _Rule("KEY", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")),
    _Rule(
        "KEY",
        re.compile(
            r"\b(?:(?:sk|pk|rk)[-_][\w-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{30,}|github_pat_\w{30,}|glpat-[\w-]{16,}"
            r"|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}|hf_[A-Za-z0-9]{24,}|LTAI[A-Za-z0-9]{12,})"
        ),
    ),
    _Rule(
        "SECRET",
        re.compile(
            r"(?:password|passwd|pwd|passphrase|secret|api[ _-]?key|access[ _-]?token|密码|密碼|口令|密钥|密鑰)"
            r"[\"']?\s*(?:[:=：]|\bis\b|是|为|為)\s*[\"']?(?P<it>[^\s\"',;，；。]{4,})",
            re.IGNORECASE,
        ),
    ),
    _Rule("SECRET", re.compile(r"://[^\s/:@]+:(?P<it>[^\s/@]+)@")),
    _Rule("EMAIL", re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", re.ASCII)),
    _Rule(
        "ID",
        re.compile(
            r"(?<!\d)[1-9]\d{5}(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![\dA-Za-z])"
        ),
        valid_chinese_id,
    ),
    _Rule("IBAN", re.compile(r"\b[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), valid_iban),
    _Rule("CARD", re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])"), valid_card),
    _Rule("ID", re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\d-])")),
    _Rule("PHONE", re.compile(r"(?<![A-Za-z0-9_.])(?:(?:\+|00)86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?!\d)")),
    _Rule("PHONE", re.compile(r"(?<![A-Za-z0-9_.])\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}(?!\d)")),
    _Rule("PHONE", re.compile(r"(?<![A-Za-z0-9_.-])(?:\(0\d{2,3}\) ?|0\d{2,3}-)\d{7,8}(?!\d)")),
    _Rule("PHONE", re.compile(r"(?<![A-Za-z0-9_.-])(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])")),
)
_MARK = re.compile(r"\[?\b(EMAIL|PHONE|ID|IBAN|CARD|KEY|SECRET)-(\d+)\b\]?")


@final
class Redactor:
    """Marks such as `[EMAIL-1]` for values; equal values get the same mark, in all texts of one redactor."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}
        self._values: dict[str, str] = {}

    def redact(self, text: str) -> str:
        """The text with marks."""
        for kind, pattern, holds in _RULES:
            text = pattern.sub(partial(self._replaced, kind=kind, holds=holds), text)
        return text

    def restore(self, text: str) -> str:
        """The text with the values back, also where a model left out the brackets of a mark."""
        return _MARK.sub(lambda match: self._values.get(f"[{match[1]}-{match[2]}]", match[0]), text)

    @property
    def counts(self) -> dict[str, int]:
        """How many different values of each kind were met."""
        kinds = [mark[1:].partition("-")[0] for mark in self._values]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    def _replaced(self, match: re.Match[str], kind: str, holds: Callable[[str], bool]) -> str:
        group = "it" if "it" in match.re.groupindex else 0
        value = match[group]
        if _MARK.fullmatch(value) or not holds(value):
            return match[0]
        if value not in self._marks:
            mark = f"[{kind}-{self.counts.get(kind, 0) + 1}]"
            self._marks[value], self._values[mark] = mark, value
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return match[0][:start] + self._marks[value] + match[0][end:]
