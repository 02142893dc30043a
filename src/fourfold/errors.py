"""Error types: one clear sentence for the user, an exit code for the shell.

A `UserError` is something the user can put right (exit code 2); a plain
`FourfoldError` is ours (exit code 1). The command line prints `str(error)` and
nothing else unless `--debug` is given.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FourfoldError(Exception):
    """Something went wrong on our side."""

    exit_code = 1


class UserError(FourfoldError):
    """Bad input: what is wrong, where, expected against got, and what to do."""

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        advice: str | None = None,
    ) -> None:
        parts = [f"{where}: {what}" if where is not None else what]
        if expected is not None:
            parts.append(f"expected {expected}")
        if got is not None:
            parts.append(f"got {got}")
        sentence = ", ".join(parts).rstrip(".")
        sentence += "" if sentence.endswith("?") else "."
        super().__init__(f"{sentence} {advice}" if advice else sentence)


class Interrupted(FourfoldError):
    """The user stopped the work; what is finished is kept."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, or None if nothing is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown_name(kind: str, name: str, known: Iterable[str], where: object = None) -> UserError:
    """The error for a name we do not know, naming the nearest right one."""
    known = sorted(known)
    guess = nearest(name, known)
    advice = f"Did you mean '{guess}'?" if guess else f"Known: {', '.join(known)}."
    return UserError(f"unknown {kind} '{name}'", where=where, advice=advice)
