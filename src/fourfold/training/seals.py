"""A hash over what a JSON file says, kept in it, so that a changed digit is seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.files import hash_value

SEAL = "seal"


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its hash."""
    return {**record, SEAL: hash_value(record)}


def unsealed(record: Any, path: Path) -> dict[str, Any]:
    """The record without its hash; UserError if it is not what was sealed. One without is older, and believed."""
    if not isinstance(record, dict):
        raise UserError("not a record", where=path.name)
    kept = {key: value for key, value in record.items() if key != SEAL}
    if SEAL in record and record[SEAL] != hash_value(kept):
        raise UserError("what it says does not match its seal", where=path.name)
    return kept
