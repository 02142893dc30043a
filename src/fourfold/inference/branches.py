"""The tree of rows that begin alike: which beginnings are worth reading once.

rows        a b c d e        tree        a b c ─┬─ d e
            a b c d f                           ├─ d f      (one shared `d` is not worth a branching)
            a b c g                             └─ g
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

LEAST = 8
"""Tokens that a branch has at least when it is shared: each branching costs a copy of the state."""
LEAST_SAVED = 16
"""Tokens that sharing a branch saves at least, over all rows below it."""


@dataclass(kw_only=True)
class Branch:
    """Tokens `start` to `end`, not included, of `ids`: read once for all `rows` below."""

    ids: Sequence[int]
    start: int
    end: int
    rows: list[int]
    """Numbers of the rows that go through it, those that end here among them."""
    then: list[Branch] = field(default_factory=list)
    """What follows; nothing where every row ends."""

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def longest(self) -> int:
        """Tokens to the end of the longest row below."""
        return max((branch.longest for branch in self.then), default=self.end)

    @property
    def widest(self) -> int:
        """Tokens of the longest branch below."""
        return max((max(branch.size, branch.widest) for branch in self.then), default=0)

    def held(self, extra: int) -> int:
        """Tokens of it and of all below it, so many more a branch."""
        return self.size + extra + sum(branch.held(extra) for branch in self.then)

    def pieces(self, size: int) -> list[Branch]:
        """Its own tokens in branches of at most so many."""
        starts = range(self.start, self.end, size)
        return [replace(self, start=start, end=min(start + size, self.end), then=[]) for start in starts]


def grow(rows: Sequence[Sequence[int]]) -> list[Branch]:
    """The branches of rows of ids, of which none is empty; every row is a path from a root to where it ends."""
    order = sorted(range(len(rows)), key=lambda row: list(rows[row]))
    roots: list[Branch] = []
    open_groups = [(order, 0, roots)] if order else []
    while open_groups:
        group, start, place = open_groups.pop()
        first, last = rows[group[0]], rows[group[-1]]
        end = _common(first, last, start)
        different = 1 + sum(rows[a] != rows[b] for a, b in pairwise(group))
        if different == 1:
            place.append(Branch(ids=first, start=start, end=end, rows=group))
        elif end - start >= LEAST and (end - start) * (different - 1) >= LEAST_SAVED:
            branch = Branch(ids=first, start=start, end=end, rows=group)
            place.append(branch)
            longer = [row for row in group if len(rows[row]) > end]
            open_groups += [(longer, end, branch.then)]
        else:
            open_groups += [(part, start, place) for part in _parted(rows, group, end)]
    return roots


def _parted(rows: Sequence[Sequence[int]], group: Sequence[int], place: int) -> list[list[int]]:
    """A sorted group by the token at a place, which not every row has."""
    return [list(part) for _, part in groupby(group, lambda row: list(rows[row][place : place + 1]))]


def _common(first: Sequence[int], last: Sequence[int], start: int) -> int:
    """Where two rows part that agree up to `start`; in sorted rows, where any of those between them part."""
    end, most = start, min(len(first), len(last))
    while end < most and first[end] == last[end]:
        end += 1
    return end
