"""What a recipe reads and no stage makes: there before anything runs, or said at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from fourfold.errors import UserError
from fourfold.workflow.kinds import FILE_SUFFIXES
from fourfold.workflow.recipe import StageSpec

SCHEME = re.compile(r"[a-z]{2,}:")
"""`package:`, `hf:`, `openai:`: not a place on this disk."""
PATTERN = frozenset("*?[")


def require_outside(stages: Iterable[StageSpec], run_folder: Path) -> None:
    """Refuse the first file or folder that is not there, before an hour of work has led to it.

    What lies in the run folder may still come into being.
    """
    for stage in stages:
        for value in stage.outside:
            if names_a_place(value):
                path = Path(value).expanduser()
                inside = path.resolve().is_relative_to(run_folder.resolve())
                if not path.exists() and not inside:
                    raise UserError("no such file or folder", where=f"[{stage.full_name}] {value}")


def names_a_place(value: str) -> bool:
    """Whether a reference has the form of a path: an ending of a file, or folders in it, and no pattern."""
    if SCHEME.match(value) or PATTERN & set(value):
        return False
    return Path(value).suffix in FILE_SUFFIXES or len(Path(value).parts) > 1
