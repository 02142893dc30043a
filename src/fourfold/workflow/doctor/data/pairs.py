"""Preferences: sides that are the same, sides that end with a question, and a preference for length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fourfold.measures import wilson_interval
from fourfold.workflow.doctor.data.layouts import Row, Turn
from fourfold.workflow.doctor.data.reading import Data
from fourfold.workflow.doctor.data.turns import is_empty, lines_of
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind

FEW = 30
"""Fewer pairs say nothing about length."""
BIASED = 0.6
"""The share of longer answers that is beyond doubt (the lower end of its interval) before it is told."""

EQUAL = kind("pair-equal")
OPEN = kind("pair-open")
EMPTY = kind("pair-empty")
LONGER = kind("pair-length-bias")


def check(data: Data) -> Iterator[Outcome]:
    rows = [row for row in data.good if row.layout == "preference"]
    if not rows:
        return
    equal = [row for row in rows if words(row.chosen) == words(row.rejected)]
    if equal:
        yield EQUAL.at(data.at(equal[0]), count=len(equal), lines=lines_of(equal))
    sides = [(row, side) for row in rows for side in (row.chosen, row.rejected)]
    ends = unique(row for row, side in sides if side and side[-1].speaker != "assistant")
    if ends:
        yield OPEN.at(data.at(ends[0]), count=len(ends), lines=lines_of(ends))
    empty = unique(row for row, side in sides if is_empty(words(side)))
    if empty:
        yield EMPTY.at(data.at(empty[0]), count=len(empty), lines=lines_of(empty))
    yield from _length(data, rows)


def _length(data: Data, rows: list[Row]) -> Iterator[Outcome]:
    differences = [d for row in rows if (d := len(words(row.chosen)) - len(words(row.rejected)))]
    if len(differences) < FEW:
        return
    longer = sum(difference > 0 for difference in differences)
    told = longer / len(differences)
    value = Words(f"in {told:.0%} of the pairs", f"占 {told:.0%}")
    yield Fact("longer", Words("chosen is longer", "选中的更长"), value)
    chosen = longer * 2 >= len(differences)
    count = longer if chosen else len(differences) - longer
    interval = wilson_interval(count, len(differences))
    if interval.low > BIASED:
        middle = sorted(differences)[len(differences) // 2]
        yield LONGER.at(
            data.path.name, which=Words("chosen", "选中") if chosen else Words("rejected", "落选"),
            share=count / len(differences), all=len(differences), low=interval.low, high=interval.high,
            difference=middle,
        )  # fmt: skip


def words(side: Sequence[Turn]) -> str:
    return "\n".join(" ".join(turn.text.split()) for turn in side)


def unique(rows: Iterator[Row]) -> list[Row]:
    return list({row.line: row for row in rows}.values())


CHECK: Check[Data] = Check(title=Words("Preferences", "偏好"), run=check, kinds=(EQUAL, OPEN, EMPTY, LONGER))
