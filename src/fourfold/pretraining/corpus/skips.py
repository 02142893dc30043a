"""What was left out, and why: a bad file never stops a run."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.progress import say

_EXAMPLES = 3


class Skips:
    """Counts what was skipped by reason and extension, with a few examples; strict raises instead."""

    def __init__(self, strict: bool = False) -> None:
        self._strict = strict
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: defaultdict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, reason: str, where: object, *, fault: bool = True) -> None:
        """Something was skipped. A `fault` is damage (strict raises); else it is a rule at work."""
        if fault and self._strict:
            raise UserError(reason, where=where, advice="Without --strict it would be skipped.")
        key = (reason, extension_of(str(where)))
        self._counts[key] += 1
        if len(self._examples[key]) < _EXAMPLES:
            self._examples[key].append(str(where))
            if fault:
                say(f"skipped {where}: {reason}")

    def records(self) -> list[dict[str, Any]]:
        return [
            {"reason": reason, "extension": extension, "count": count, "examples": self._examples[reason, extension]}
            for (reason, extension), count in self._counts.most_common()
        ]

    def summary(self) -> str:
        """For an error message: `3 .pdf (no reader), 1 .txt (empty file)`."""
        parts = [f"{count} {extension} ({reason})" for (reason, extension), count in self._counts.most_common(8)]
        return ", ".join(parts) or "nothing"


def extension_of(where: str) -> str:
    """The extension of a file, also when a line number (`:12`) or a record (`#id`) follows it."""
    where = re.sub(r"(?<=\w)#[^#/.]*$", "", where)
    name = where.rpartition(":")[0] if where.rpartition(":")[2].isdigit() else where
    return Path(name).suffix.lower() or "(none)"
