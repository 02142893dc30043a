"""What a public benchmark is: a value. Its data's place, how a record becomes an item, how the item is asked.

A task is named `NAME`, its data then come from the hub, or `NAME@PATH`, with a file (JSONL, JSON, CSV, Parquet) or a
folder in which the names of the files tell the splits. To add a benchmark, add a row to one of the tables beside this
file: `read` maps the columns of the hub's files, and the plain form

    {"id", "question", "choices", "answer", "subject"}

to an `Item`; `build` makes the `Task` from the items and the solved ones to show before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fourfold.evaluation.benchmarks.records import Record
from fourfold.evaluation.task import Item, Task


class HubData(NamedTuple):
    """Where a benchmark lies on the Hugging Face hub."""

    repository: str
    folder: str = ""
    """Only files below it: the name of a configuration."""
    revision: str | None = None
    """None: the newest; the result names the commit that was read."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a task is made from."""

    items: Sequence[Item]
    demonstrations: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    """By subject ("" where there are none): the same for all items of a subject."""
    setting: Mapping[str, Any] = field(default_factory=dict)
    """What the result says about them, as JSON values: split, shots, how they were chosen, how many items left out."""

    def shots(self, item: Item) -> Sequence[Item]:
        """The solved items to show before this one."""
        return self.demonstrations.get(item.subject, ())


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A public benchmark."""

    name: str
    """How the command line calls it."""
    title: str
    asks: str
    """What it measures, in a clause."""
    paper: str
    """Who and when, e.g. "Clark et al. 2018"."""
    licence: str
    """Of the data, as their publishers state it."""
    hub: HubData | None
    read: Callable[[Record], Item]
    """One record to one item; UserError (`refusal`) for a record that is no question of this benchmark."""
    build: Callable[[Benchmark, Data], Task]
    """The task over items and demonstrations, made by a factory: `choices(…)` for questions with choices."""
    language: str = "en"
    split: str = "test"
    """The one that is asked."""
    shots_splits: tuple[str, ...] = ("train", "validation", "dev")
    """Where demonstrations come from: the first that is there and is not the one asked."""
    shots: bool = True
    """Whether demonstrations may be shown; some have theirs in the wording."""
    worked: Callable[[Record], Sequence[Item]] | None = None
    """How a record of the demonstrations is read where it holds several, or reads otherwise than a question."""
    version: int = 1
    """Goes up when the wording or the reading changes."""
