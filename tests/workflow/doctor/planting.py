"""The register of planted defects: which kind of finding each is, and what it is planted in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

Spoil = Callable[[Path], object]


class Defect(NamedTuple):
    """A way to spoil something sound."""

    code: str
    """Of the finding it must lead to."""
    model: str
    """What it is planted in: folder, gpt2, adapter, gguf, arpa, ngram, chats or pairs."""
    spoil: Spoil
    also: tuple[str, ...]
    """Errors and warnings that follow of necessity; any other is a false alarm."""


DEFECTS: dict[str, Defect] = {}


def plant(code: str, *, model: str = "folder", also: tuple[str, ...] = ()) -> Callable[[Spoil], Spoil]:
    def keep(spoil: Spoil) -> Spoil:
        DEFECTS[spoil.__name__] = Defect(code, model, spoil, also)
        return spoil

    return keep
