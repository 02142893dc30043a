"""Like with like: what differs between two results besides the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 60


def unlike(task: str, a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each setting that both sides tell and that differs; settings of several parts are joined."""
    first, second = _joined(a), _joined(b)
    return [
        f"{task}: not like with like, {name} is {_written(first[name])} in A and {_written(second[name])} in B"
        for name in first
        if name in second and first[name] != second[name]
    ]


def _joined(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Each setting's values, once each, in the order they were met; a method nobody wrote down is no setting."""
    found: dict[str, list[Any]] = {}
    for setting in settings:
        for name, value in setting.items():
            if (name, value) != ("method", None) and value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def _written(values: Sequence[Any]) -> str:
    text = ", ".join("none" if value is None else str(value) for value in values[:3])
    return repr(text[:_SHOWN] + "…") if len(text) > _SHOWN else text
