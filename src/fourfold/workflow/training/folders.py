"""The folder in which a training keeps its checkpoints, seen from outside."""

from __future__ import annotations

import shutil
from pathlib import Path

from fourfold.errors import UserError


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint; UserError where there is none."""
    steps = [int(path.name.removeprefix("step-")) for path in folder.glob("step-*")]
    if not steps:
        raise UserError("there is no checkpoint to go back to", where=folder)
    return max(steps)


def remove_checkpoints(folder: Path) -> None:
    """Drop what only a crash would have needed; not before the stage is marked done."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
