"""What the engine knows of a request: its tokens, and how far the model has read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fourfold.inference.engine.prefixes import Node
from fourfold.inference.engine.request import Request
from fourfold.inference.engine.running import Running
from fourfold.inference.engine.swapping import Swapped
from fourfold.models import State
from fourfold.models.transformer import Source


class Held(NamedTuple):
    """Own states of several rows in one; row number i of it is `rows[i]`."""

    state: State
    rows: list[Row]


@dataclass(eq=False)
class Row:
    """One request in the engine; tokens are read up to `read` and known up to the end of `ids`."""

    running: Running
    number: int
    """Of its arrival: who came later gives way."""
    ids: list[int]
    room: int
    """Tokens it may write."""
    prompt: int = 0
    """Tokens of the prompt."""
    read: int = 0
    table: list[int] = field(default_factory=list)
    """Its pages, where there are any."""
    node: Node | None = None
    """The prefix tree up to the last of its pages that stands there."""
    kept: int = 0
    """Pages of it that stand in the tree."""
    source: Source | None = None
    held: Held | None = None
    swapped: Swapped | None = None

    @property
    def request(self) -> Request:
        return self.running.request

    @property
    def pending(self) -> int:
        """Tokens the model has yet to read."""
        return len(self.ids) - self.read

    @property
    def written(self) -> int:
        return len(self.ids) - self.prompt

    @property
    def longest(self) -> int:
        """Tokens it can have at most."""
        return self.prompt + self.room


class Chunk(NamedTuple):
    """Tokens that a row reads in a step."""

    row: Row
    new: int
