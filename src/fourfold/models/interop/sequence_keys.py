"""What encoder-decoder families share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.errors import unknown_name


def check_class(keys: Mapping[str, Any], *known: str) -> None:
    """Refuse classes with another top than the language model's, or with half of the model."""
    for written in keys.get("architectures") or ():
        if written not in known:
            raise unknown_name("class of model", written, known, "config.json: architectures")


def stack_modules(side: str, place: str, inside: Mapping[str, str]) -> dict[str, str]:
    """Names of the modules of each layer of one side; an encoder has no cross-attention."""
    kept = {ours: theirs for ours, theirs in inside.items() if side == "decoder" or "cross" not in ours}
    return {f"{side}.layers.{{i}}.{ours}": place + theirs for ours, theirs in kept.items()}
