"""Spans taken out of a text: where they are, and what is left (Raffel et al. 2020, section 3.3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.random import Generator

from fourfold.errors import UserError
from fourfold.pretraining.objectives.examples import Example, Form, Ids, Row, lay_out, longest_text
from fourfold.pretraining.objectives.marks import SENTINELS, Marks, Reserve


class Span(NamedTuple):
    """Tokens `start` to `end`, not included."""

    start: int
    end: int


def place_spans(length: int, sizes: Sequence[int], random: Generator) -> list[Span]:
    """Spans of these sizes in this order at random places of a text, at least one token apart.

    Every arrangement is equally likely. Sizes that do not fit any more are left out.
    """
    kept = list(sizes)
    while kept and sum(kept) + len(kept) - 1 > length:
        kept.pop()
    free = length - sum(kept) - max(0, len(kept) - 1)
    borders = np.sort(random.choice(free + len(kept), len(kept), replace=False)).tolist() if kept else []
    spans, taken = [], 0
    for border, size in zip(borders, kept, strict=True):
        start = border + taken  # a border counts the free tokens before it and the gaps
        spans.append(Span(start, start + size))
        taken += size
    return spans


def divide(total: int, parts: int, random: Generator) -> list[int]:
    """`total` as a sum of so many whole numbers from 1 on, every such sum equally likely."""
    cuts = np.sort(random.choice(total - 1, parts - 1, replace=False)) + 1
    return [int(size) for size in np.diff([0, *cuts, total])]


def noise_counts(length: int, rate: float, mean_span: float) -> tuple[int, int]:
    """How many tokens of a text go, in how many spans; at least one, and at least one token stays."""
    tokens = min(max(1, round(length * rate)), max(1, length - 1))
    spans = max(1, round(tokens / mean_span))
    return tokens, min(spans, tokens, length - tokens + 1, SENTINELS - 1)


def corrupt(tokens: Ids, spans: Sequence[Span], sentinels: Ids) -> tuple[Ids, Ids]:
    """The text with a sentinel for each span, and the spans, each after its sentinel, with one sentinel more
    at the end (figure 2 of the paper)."""
    source: list[Ids] = []
    target: list[Ids] = []
    before = 0
    for sentinel, (start, end) in zip(sentinels, spans, strict=False):
        source += [tokens[before:start], np.array([sentinel])]
        target += [np.array([sentinel]), tokens[start:end]]
        before = end
    source.append(tokens[before:])
    return np.concatenate(source), np.concatenate([*target, [sentinels[len(spans)]]])


@dataclass(frozen=True, kw_only=True)
class SpanCorruption:
    """Spans of the text replaced by sentinels, to be written out in the target (T5's objective).

    The number of spans follows from the rate and the mean; their sizes are drawn. Departures: a text may
    begin with a span or end without one, which the authors' code never does, and of one
    text at most 99 spans are taken.
    """

    rate: float = 0.15
    """Share of the tokens that is taken out."""
    mean_span: float = 3.0
    """Tokens of a span on average."""

    forms: ClassVar[tuple[Form, ...]] = ("encoder-decoder", "prefix", "causal")
    needs: ClassVar[tuple[Reserve, ...]] = ("sentinels",)
    classes: ClassVar[int] = 0
    dynamic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise UserError("the rate of corrupted tokens is out of range", expected="between 0 and 1", got=self.rate)
        if self.mean_span < 1:
            raise UserError("the mean span is out of range", expected="at least 1 token", got=self.mean_span)

    def sizes(self, length: int) -> tuple[int, int]:
        """Tokens of source and target for a text of that length, with their end tokens."""
        tokens, spans = noise_counts(length, self.rate, self.mean_span)
        return length - tokens + spans + 1, tokens + spans + 2

    def text_tokens(self, context: int, form: Form) -> int:
        if form == "encoder-decoder":
            return longest_text(lambda length: max(self.sizes(length)), context)
        return longest_text(lambda length: sum(self.sizes(length)) - 1, context)

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        source, target = self.pair(row.tokens, marks, random)
        return lay_out(np.append(source, marks.end), np.append(target, marks.end), form, marks)

    def pair(self, tokens: Ids, marks: Marks, random: Generator) -> tuple[Ids, Ids]:
        """Source and target without their end tokens."""
        noise, spans = noise_counts(len(tokens), self.rate, self.mean_span)
        places = place_spans(len(tokens), divide(noise, spans, random), random)
        return corrupt(tokens, places, marks.sentinels)
