"""The keys of one architecture in the metadata of a GGUF file, checked for their types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from fourfold.errors import UserError

T = TypeVar("T", int, float, str, bool)

MOST = 1 << 28
"""No size of a model is larger; products of two such sizes can still be counted."""


class Section:
    """`llama.block_count` by "block_count"."""

    def __init__(self, name: str, metadata: Mapping[str, Any], where: object = None) -> None:
        self.name = name
        self.where = where
        self._metadata = metadata

    def find(self, key: str, kind: type[T]) -> T | None:
        """The value, None when there is none; UserError when it is of another type."""
        value = self._metadata.get(f"{self.name}.{key}")
        if value is None:
            return None
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind:
            wrong = f"the key {self.name}.{key} of the header has the wrong type"
            raise UserError(wrong, where=self.where, expected=kind.__name__, got=repr(value)[:40])
        too_large = isinstance(value, int) and not 0 <= value <= MOST
        if too_large or (isinstance(value, float) and not math.isfinite(value)):
            raise UserError(f"the key {self.name}.{key} of the header is out of range", where=self.where, got=value)
        return value

    def need(self, key: str, kind: type[T]) -> T:
        """As `find`; UserError when there is none."""
        value = self.find(key, kind)
        if value is None:
            raise UserError(f"the header lacks the key {self.name}.{key}", where=self.where)
        return value
