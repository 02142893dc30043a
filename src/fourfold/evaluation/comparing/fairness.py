"""Like with like: what differs between two results besides the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 60
_LM_EVALS = {
    "log_likelihood": "multiple_choice",
    "letters": "multiple_choice",
    "letter_generation": "generate_until",
    "completion": "generate_until",
    "sampled_completion": "generate_until",
    "chat": "generate_until",
}
"""A way of asking of ours, and what lm-eval calls all of its kind."""


def unlike(task: str, a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each setting that both sides tell and that differs; settings of several parts are joined."""
    first, second = _joined(a), _joined(b)
    return [
        f"{task}: not like with like, {name} is {_written(first[name])} in A and {_written(second[name])} in B"
        for name in first
        if name in second and not _alike(name, first[name], second[name])
    ]


def _alike(name: str, a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Equal, or as far as lm-eval's names of methods tell equal."""
    if name != "method" or a == b:
        return a == b
    coarse_a, coarse_b = ([_LM_EVALS.get(str(value), value) for value in values] for values in (a, b))
    return coarse_a == b or a == coarse_b


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
