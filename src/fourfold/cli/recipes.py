"""From flags to a recipe: every command that trains writes down what it ran, and runs that."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourfold.cli.console import command_line
from fourfold.cli.runs import walk
from fourfold.errors import UserError


def run_sections(output: Path, sections: Mapping[str, Mapping[str, Any]], seed: int) -> Any:
    """Run these sections with `output` as the run folder; `output/recipe.toml` is the recipe.

    Running the same flags again resumes; other flags in the same folder redo what they change.
    """
    output = output.expanduser().resolve()
    if not re.fullmatch(r"[A-Za-z0-9_-]+", output.name):
        raise UserError(
            "a run folder cannot have this name", where="-o", expected="letters, digits, - and _", got=output.name
        )
    again: list[object] = ["run", output / "recipe.toml", "--runs", output.parent]
    return walk(recipe_text(output.name, seed, sections), [], output.parent, again=again)


def recipe_text(name: str, seed: int, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML of a recipe; options that are None are left to their defaults."""
    from fourfold.workflow.toml import write_document

    document: dict[str, Any] = {"name": name, "seed": seed}
    for section, options in sections.items():
        kind, _, stage = section.partition(".")
        document.setdefault(kind, {})[stage] = _given(options)
    written_by = " ".join(command_line(sys.argv[1:]).split())
    return f"# Written by: {written_by}\n" + write_document(document, sections)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: _given(value) if isinstance(value, Mapping) else value for key, value in options.items()}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in kept.items()
        if value is not None and value not in ({}, ())
    }


def budget(steps: int | None, tokens: int | None, seconds: float | None) -> dict[str, Any] | None:
    """The one budget that was given."""
    given = {key: value for key, value in (("steps", steps), ("tokens", tokens), ("seconds", seconds)) if value}
    if len(given) > 1:
        raise UserError("give one budget", expected="--steps, --tokens or --seconds", got=", ".join(given))
    return given or None


def place(reference: str) -> str:
    """A path made absolute, so that the recipe runs from anywhere; other references stay as they are."""
    path = Path(reference).expanduser()
    return str(path.resolve()) if path.exists() else reference
