"""manifest.json: with what, on what and when a run was made."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import read_json, write_json
from fourfold.workflow.machine import describe_machine
from fourfold.workflow.recipe import Recipe

FAILED = "failed: "
"""How the outcome of a sitting begins that an error ended."""


class Manifest:
    """The manifest of one run folder; sittings of an interrupted run add up."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self._path = folder / "manifest.json"
        sittings = _earlier(self._path)
        sittings.append({"started": _now(), "ended": None, "outcome": "running"})
        self._record: dict[str, Any] = {
            "name": recipe.name,
            "title": recipe.title,
            "seed": recipe.seed,
            "recipe": str(recipe.source) if recipe.source else None,
            "recipe_sha256": hashlib.sha256(recipe.text.encode()).hexdigest(),
            "order": [stage.full_name for stage in recipe.stages],
            "machine": describe_machine(),
            "stages": {},
            "sittings": sittings,
        }
        write_json(self._path, self._record)

    def stage_done(self, name: str, record: dict[str, Any]) -> None:
        """Note a finished stage with its key, time, memory and output hashes."""
        self._record["stages"][name] = record
        write_json(self._path, self._record)

    def finish(self, outcome: str) -> None:
        self._record["sittings"][-1].update(ended=_now(), outcome=outcome)
        write_json(self._path, self._record)


def _earlier(path: Path) -> list[dict[str, Any]]:
    try:
        return list(read_json(path)["sittings"])
    except (UserError, KeyError, TypeError):
        return []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
