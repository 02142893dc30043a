"""Progress on the screen: bars with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import IO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from fourfold.progress import Sink
from fourfold.progress import Task as Work

PLAIN_LINE_SECONDS = 10.0
WIDE, LABEL = 100, 30
"""Columns of a terminal that has room for a long bar; and the most that what the work is called may take of them."""


def sink_for(stream: IO[str] | None = None) -> Sink:
    """The sink that fits a stream (stderr unless said): bars only where there is a terminal."""
    stream = stream or sys.stderr
    return BarSink(stream) if stream.isatty() else PlainSink(stream)


class RateColumn(ProgressColumn):
    """Done, total and rate in the task's own unit."""

    def render(self, task: Task) -> Text:
        return Text(amounts(task.completed, task.total, task.finished_speed or task.speed, task.fields["unit"]))


def amounts(done: float, total: float | None, rate: float | None, unit: str) -> str:
    of_total = f"{done:,.0f}/{total:,.0f}" if total is not None else f"{done:,.0f}"
    return f"{of_total} {unit}" + (f", {rate:,.1f}/s" if rate else "")


def with_note(line: str, note: str, between: str = ", ") -> str:
    return f"{line}{between}{note}" if note else line


class Bar:
    """One bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress = progress
        self.task = task

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.progress.advance(self.task, amount)
        if note:
            self.progress.update(self.task, note=note)


class TwoLines(Progress):
    """A bar a task, and under it what is said of the task: 80 columns have no room for both in one line."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            yield self.make_tasks_table([task])
            if task.fields["note"]:
                yield Text(f"  {task.fields['note']}", no_wrap=True, overflow="ellipsis")


class BarSink:
    """Live bars; they vanish when done, and a line with the time taken stays for those that were long."""

    def __init__(self, stream: IO[str]) -> None:
        self.console = Console(file=stream, highlight=False)
        self.progress = TwoLines(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=LABEL)),
            BarColumn(bar_width=24 if self.console.width >= WIDE else 12),
            RateColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            console=self.console,
            transient=True,
        )
        self.bars: list[Bar] = []

    def start(self, label: str, total: float | None, unit: str) -> Work:
        if not self.bars:
            self.progress.start()
        bar = Bar(self.progress, self.progress.add_task(label, total=total, unit=unit, note=""))
        self.bars.append(bar)
        return bar

    def stop(self, task: Work) -> None:
        assert isinstance(task, Bar)
        row = self.progress.tasks[self.progress.task_ids.index(task.task)]
        elapsed = row.elapsed or 0.0
        if elapsed >= 1:
            done = amounts(row.completed, row.total, row.completed / elapsed, row.fields["unit"])
            line, note = f"  {row.description}: {done} in {elapsed:,.0f} s", row.fields["note"]
            apart = len(line) + len(note) + 2 > self.console.width
            self.say(with_note(line, note, "\n    " if apart else ", "))
        self.progress.remove_task(task.task)
        self.bars.remove(task)
        if not self.bars:
            self.progress.stop()

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


class Line:
    """One piece of work told in plain lines."""

    def __init__(self, sink: PlainSink, label: str, total: float | None, unit: str) -> None:
        self.sink, self.label, self.total, self.unit = sink, label, total, unit
        self.done, self.note = 0.0, ""
        self.began = self.told = time.monotonic()

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self.note = note or self.note
        now = time.monotonic()
        if now - self.told >= PLAIN_LINE_SECONDS:
            self.told = now
            self.sink.say(self.describe(now))

    def describe(self, now: float) -> str:
        rate = self.done / max(now - self.began, 1e-9)
        left = f", {(self.total - self.done) / rate:,.0f} s left" if self.total and rate else ""
        return with_note(f"{self.label}: {amounts(self.done, self.total, rate, self.unit)}{left}", self.note)


class PlainSink:
    """A line at the end of each piece of work that took a second, and one every ten seconds on the way."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def start(self, label: str, total: float | None, unit: str) -> Work:
        return Line(self, label, total, unit)

    def stop(self, task: Work) -> None:
        assert isinstance(task, Line)
        now = time.monotonic()
        if now - task.began >= 1:
            done = amounts(task.done, task.total, task.done / (now - task.began), task.unit)
            self.say(with_note(f"{task.label}: {done} in {now - task.began:,.0f} s", task.note))

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)
