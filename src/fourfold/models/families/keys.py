"""Keys of `config.json` that changed their names over the years: both are read, one is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.errors import UserError
from fourfold.models.transformer import Rotary


def read_rotary(keys: Mapping[str, Any]) -> Rotary:
    """`rope_parameters` (new) or `rope_theta` with `rope_scaling` (old)."""
    new = keys.get("rope_parameters") or {}
    scaling = new or keys.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in (None, "default"):
        raise UserError("this scaling of rotary positions is not supported yet", expected="default", got=kind)
    return Rotary(base=float(new.get("rope_theta", keys.get("rope_theta", 10_000.0))))


def unless(value: int | None, usual: int) -> int | None:
    """None for the usual value, so that equal architectures are equal configurations."""
    return None if value == usual else value
