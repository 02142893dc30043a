"""Spans that begin alike are read once: few-shot examples before every question, a question before its choices.

The state after a shared beginning is forked, and each branch goes on from there. Every probability is the one a lone
span would get, to within rounding: the same tokens under the same tokens.
Letters: N hidden states, D hidden size, M targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar, final

import torch
from torch import Tensor

from fourfold.inference.branches import Branch, grow
from fourfold.inference.sampling import log_total
from fourfold.inference.scoring import LOGITS_AT_ONCE, TOKENS_AT_ONCE, Scored, Span, exact_state, ragged, score_spans
from fourfold.models import CausalLM, State, Step
from fourfold.models.transformer import PAGE

T = TypeVar("T")
Judge = Callable[[Tensor, Sequence[int], Sequence[int]], Sequence[T]]
"""What (N, D) hidden states say of M targets, of which number m follows on state `rows[m]`: one result a target."""

STATE_AT_ONCE = 1 << 14
"""Tokens that the states of one batch hold at most (a batch has one row at least)."""
FILLED_UP = 32
"""Places of a batch that may be filled up to its longest row: more of them cost more than another call."""


def score_shared(model: CausalLM, spans: Sequence[Span], device: torch.device) -> list[Scored]:
    """As `score_spans` with greedy marks, but what spans share at their beginning is read once.

    Spans with a source, or whose tokens see each other, are read one by one: their beginning is not a past.
    """
    if any(span.source is not None or span.prefix for span in spans):
        return score_spans(model, spans, device, want_greedy=True)
    found = judge_shared(model, spans, device, partial(log_probs_of, model))
    return [Scored([value for value, _ in one], [greedy for _, greedy in one]) for one in found]


@torch.inference_mode()
def judge_shared(
    model: CausalLM, spans: Sequence[Span], device: torch.device, judge: Judge[T], adapters: Tensor | None = None
) -> list[list[T]]:
    """What `judge` says of every target of every span; `adapters`: one gate for each delta of a layer, as in `Step`."""
    walk = Walk(model, spans, device, judge, adapters)
    for _ in walk.calls():
        pass
    return walk.results()


@final
class Walk(Generic[T]):
    """One walk over the tree; results are gathered by span and the place of the target."""

    def __init__(
        self, model: CausalLM, spans: Sequence[Span], device: torch.device, judge: Judge[T], adapters: Tensor | None
    ) -> None:
        self.model, self.spans, self.device, self.judge, self.adapters = model, spans, device, judge, adapters
        self.told: list[dict[int, T]] = [{} for _ in spans]

    def calls(self, piece: int = TOKENS_AT_ONCE) -> Iterator[None]:
        """Read everything, a call of the model after the other; a lone row is read by so many tokens."""
        yield from self._read(grow([span.ids[:-1] for span in self.spans]), None, [], piece)

    def results(self) -> list[list[T]]:
        """Of every target of every span."""
        spans = zip(self.told, self.spans, strict=True)
        return [[one[place] for place in range(span.start, len(span.ids))] for one, span in spans]

    def _read(
        self, branches: Sequence[Branch], before: State | None, rows: Sequence[int], piece: int
    ) -> Iterator[None]:
        """Read branches, of which number i goes on from row `rows[i]` of the state `before`, and all below them."""
        for numbers in _batches(branches, self.model.context):
            batch = [branches[i] for i in numbers]
            calls = [[part] for part in batch[0].pieces(piece)] if len(batch) == 1 else [batch]
            state = self._state(batch, before, [rows[i] for i in numbers] if rows else [], len(calls) > 1)
            for call in calls:
                self._forward(call, state)
                yield
            below = [(branch, row) for row, branch in enumerate(batch) for branch in branch.then]
            if below:
                yield from self._read([branch for branch, _ in below], state, [row for _, row in below], piece)
            if state is not None:
                state.free()

    def _state(self, batch: Sequence[Branch], before: State | None, rows: Sequence[int], wanted: bool) -> State | None:
        if before is not None:
            return before.fork(torch.tensor(rows, device=self.device))
        exact = exact_state(self.model, [branch.held(2 * PAGE) for branch in batch])
        if exact is not None or not (wanted or any(branch.then for branch in batch)):
            return exact
        return self.model.new_state(len(batch), _room(batch))

    def _forward(self, batch: Sequence[Branch], state: State | None) -> None:
        """One call of the model, and the results of the targets in it."""
        ids, lengths = ragged([branch.ids[branch.start : branch.end] for branch in batch], self.device)
        gates = None if self.adapters is None else self.adapters.expand(len(batch), -1)
        step = Step(ids=ids, lengths=lengths if len(batch) > 1 else None, adapters=gates)
        hidden = self.model.hidden(step, state)
        targets = [(row, *target) for row, branch in enumerate(batch) for target in self._targets(branch)]
        if not targets:
            return
        places = [(row, place - batch[row].start) for row, _, place in targets]
        kept = {place: number for number, place in enumerate(dict.fromkeys(places))}
        index = torch.tensor(list(kept), device=self.device)
        wanted = [self.spans[span].ids[place + 1] for _, span, place in targets]
        found = self.judge(hidden[index[:, 0], index[:, 1]], [kept[place] for place in places], wanted)
        for (_, span, place), told in zip(targets, found, strict=True):
            self.told[span][place + 1] = told

    def _targets(self, branch: Branch) -> Iterator[tuple[int, int]]:
        """(span, place) whose next token is scored, for the places of this branch."""
        for number in branch.rows:
            span = self.spans[number]
            for place in range(max(branch.start, span.start - 1), min(branch.end, len(span.ids) - 1)):
                yield number, place


def log_probs_of(
    model: CausalLM, hidden: Tensor, rows: Sequence[int], targets: Sequence[int]
) -> list[tuple[float, bool]]:
    """log P(target) in fp32 at rows of (N, D) hidden states, M of them, and whether it is the most probable token."""
    at, wanted = (torch.tensor(values, device=hidden.device) for values in (rows, targets))
    log_probs = torch.empty(len(wanted), device=hidden.device)
    greedy = torch.empty(len(wanted), dtype=torch.bool, device=hidden.device)
    chunk = max(1, LOGITS_AT_ONCE // model.vocabulary_size)
    for start in range(0, len(hidden), chunk):
        logits = model.logits(hidden[start : start + chunk]).float()
        here = ((at >= start) & (at < start + chunk)).nonzero()[:, 0]
        row, target = at[here] - start, wanted[here]
        log_probs[here] = logits[row, target] - log_total(logits)[row, 0]
        greedy[here] = logits.argmax(1)[row] == target
    return list(zip(log_probs.tolist(), greedy.tolist(), strict=True))


def _batches(branches: Sequence[Branch], context: int | None) -> Iterator[list[int]]:
    """Numbers of branches for one call each: ends apart from those that go on, short ones first.

    Rows are filled up to the longest; with what is filled up, none may reach beyond the context.
    """
    order = sorted(range(len(branches)), key=lambda i: (bool(branches[i].then), branches[i].size, branches[i].start))
    batch: list[int] = []
    for number in order:
        if batch and not _fits([branches[i] for i in (*batch, number)], context):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _fits(batch: Sequence[Branch], context: int | None) -> bool:
    """Whether these branches, the longest last, may be read in one call."""
    longest, rows = batch[-1].size, len(batch)
    return (
        bool(batch[0].then) == bool(batch[-1].then)
        and rows * longest <= TOKENS_AT_ONCE
        and rows * longest - sum(branch.size for branch in batch) <= FILLED_UP
        and rows * max(branch.longest for branch in batch) <= STATE_AT_ONCE
        and (context is None or max(branch.start for branch in batch) + longest <= context)
    )


def _room(branches: Sequence[Branch]) -> int:
    """Tokens a state needs for these branches and all below them, with what fills up the rows of a batch."""
    room = 0
    level = list(branches)
    while level:
        room = max(room, max(branch.start for branch in level) + max(branch.size for branch in level))
        level = [branch for above in level for branch in above.then]
    return room
