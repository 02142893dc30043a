"""Who reads what in the next step.

Rows that write come first, a token each; then prompts, in pieces, up to the tokens of a step; then those who wait are
let in. Where room runs out, the row that came last gives way to one that came before it; so the first always goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import final

from fourfold.errors import FourfoldError
from fourfold.inference.engine.memory import Memory
from fourfold.inference.engine.paged_rows import STRIDE
from fourfold.inference.engine.request import EngineLimits
from fourfold.inference.engine.row import Chunk, Row

LOOKED_AT = 64
"""Waiting rows that are looked at for one that need not wait for another's prompt."""
WORTH_WAITING = 32
"""Tokens of a common beginning for which a row waits until another has read them."""
LEAST_PIECE = 32
"""Tokens of a prompt that are worth a call of their own, unless it ends there."""


@final
class Scheduler:
    """Rows by what they do: running (in order of arrival), waiting, swapped out."""

    def __init__(self, memory: Memory, limits: EngineLimits) -> None:
        self.memory, self.limits = memory, limits
        self.waiting: deque[Row] = deque()
        self.running: list[Row] = []
        self.swapped: list[Row] = []
        self.preemptions = 0
        self.prefix_hits = 0
        self.prefix_tokens = 0

    def plan(self) -> list[Chunk]:
        """What each row reads in this step; room for it is reserved."""
        self._bring_back()
        chunks: list[Chunk] = []
        for row in sorted(self.running, key=lambda row: (row.pending > 1, row.number)):
            self._add(row, chunks)
        while newcomer := self._admitted(self.limits.tokens - _tokens(chunks)):
            self._add(newcomer, chunks)
        if not chunks and self.waiting and not self.running and not self.swapped:
            raise FourfoldError("the engine cannot let anybody in although nobody is there")
        return chunks

    def leave(self, row: Row, *, spoilt: bool = False) -> None:
        """The row is over, whatever it did."""
        for group in (self.running, self.swapped, self.waiting):
            if row in group:
                group.remove(row)
        self.memory.release(row, spoilt=spoilt)

    def rows(self) -> Iterator[Row]:
        yield from self.running
        yield from self.swapped
        yield from self.waiting

    def followers(self, leader: Row) -> list[Row]:
        """Waiting rows of the same prompt that can go on from where `leader` is now."""
        room = self.limits.rows - len(self.running)
        found = [row for row in self.waiting if _alike(row, leader)][:room]
        for row in found:
            self.waiting.remove(row)
            self.memory.branch(row, leader)
            self.running.append(row)
            row.running.batch_invariant = leader.running.batch_invariant
            self.prefix_hits += 1
            self.prefix_tokens += row.prompt
        self.running.sort(key=lambda row: row.number)
        return found

    # ---- inside

    def _add(self, row: Row, chunks: list[Chunk]) -> None:
        """A chunk for the row, if it is its turn and there is room; those who came later may have to leave."""
        if row not in self.running:
            return
        new = 1 if row.pending == 1 else self._piece(row, chunks)
        while new and not self.memory.reserve(row, new):
            planned = {chunk.row.number for chunk in chunks}
            later = [r for r in self.running if r.number > row.number and r.number not in planned]
            if not later:
                return
            self._preempt(max(later, key=lambda r: r.number))
        if new:
            if chunks and new < row.pending:  # where its pieces end depends on others
                row.running.batch_invariant &= self._invariant(row)
            chunks.append(Chunk(row, new))

    def _piece(self, row: Row, chunks: list[Chunk]) -> int:
        """Tokens the row reads of its prompt beside what is planned; 0: it is not its turn.

        One prompt goes on in every step, however many rows write.
        """
        if row.request.whole or not self.memory.divisible:
            return row.pending
        first = all(chunk.new == 1 for chunk in chunks)
        budget = self.limits.tokens - _tokens(chunks)
        if self.limits.batch_invariant and not self.memory.exact(row):
            return min(row.pending, STRIDE - row.read % STRIDE) if budget > 0 or first else 0
        if first:
            budget = max(budget, min(self.limits.tokens, LEAST_PIECE))
        elif budget < min(row.pending, LEAST_PIECE):
            return 0
        return min(row.pending, budget)

    def _preempt(self, row: Row) -> None:
        self.running.remove(row)
        self.preemptions += 1
        if row.read:
            self.memory.swap_out(row)
            self.swapped.append(row)
        else:
            self.memory.release(row)
            self.waiting.appendleft(row)

    def _bring_back(self) -> None:
        """Swapped rows come back in order of arrival, once there is room for them and a page for each who runs."""
        self.swapped.sort(key=lambda row: row.number)
        while self.swapped and len(self.running) < self.limits.rows:
            row = self.swapped[0]
            if not self.memory.swap_in(row, len(self.running) + 1 if self.running else 0):
                return
            self.swapped.pop(0)
            self.running.append(row)
            self.running.sort(key=lambda row: row.number)

    def _admitted(self, budget: int) -> Row | None:
        """The next waiting row, let in; None: nobody can be."""
        if self.swapped or budget <= 0 or len(self.running) >= self.limits.rows:
            return None
        row = next((row for row in islice(self.waiting, LOOKED_AT) if not self._waits_for_prompt(row)), None)
        if row is None or not self.memory.begin(row, self.running):
            return None
        self.waiting.remove(row)
        self.running.append(row)
        if row.read:
            self.prefix_hits += 1
            self.prefix_tokens += row.read
            row.running.batch_invariant &= self._invariant(row)
        return row

    def _invariant(self, row: Row) -> bool:
        """Whether it may share and be divided without another bit in its numbers."""
        return self.limits.batch_invariant or self.memory.exact(row)

    def _waits_for_prompt(self, row: Row) -> bool:
        """Whether somebody is reading what this row would have to read too."""
        return any(
            _alike(row, other) or self.memory.shared(row, other) >= WORTH_WAITING
            for other in self.running
            if other.read < other.prompt
        )


def _alike(row: Row, other: Row) -> bool:
    """Whether both read the same, for the same weights."""
    a, b = row.request, other.request
    return (
        row.prompt == other.prompt
        and row.ids[: row.prompt] == other.ids[: other.prompt]
        and (a.source, a.whole, a.adapters) == (b.source, b.whole, b.adapters)
    )


def _tokens(chunks: list[Chunk]) -> int:
    return sum(chunk.new for chunk in chunks)
