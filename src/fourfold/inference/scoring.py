"""Log-probabilities of given tokens, in windows and batches, without ever holding all logits.

Letters: B rows, T tokens, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fourfold.inference.looking_up import look_up
from fourfold.inference.sampling import log_total
from fourfold.models import CausalLM, DirectScorer, State, Step, TransformerLM
from fourfold.models.transformer import PAGE, PagedCache

LOGITS_AT_ONCE = 1 << 24
"""Logits (positions times vocabulary) computed in one piece: 64 MB in fp32."""
TOKENS_AT_ONCE = 2048
"""Tokens of one forward pass: few enough that what a layer makes stays near the processor."""


SPANS_AT_ONCE = 1 << 12
"""Texts whose probabilities are looked up together."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Targets to score: `ids[start:]`, each given all ids before it. `start` is at least 1."""

    ids: Sequence[int]
    start: int
    source: Sequence[int] | None = None
    """What an encoder-decoder reads: of every span of a call, or of none."""
    prefix: int = 0
    """So many ids at the start see each other (prefix decoders)."""


class Scored(NamedTuple):
    """What the model says about the targets of a span."""

    log_probs: list[float]
    greedy: list[bool]
    """Whether each target was the most probable token; empty when not asked for."""


def target_log_probs(
    model: CausalLM, step: Step, targets: Tensor, wanted: Tensor, state: State | None = None
) -> tuple[Tensor, Tensor]:
    """For the wanted positions of a (B, T) step, in row order: log P(target) in fp32, and whether it is the argmax."""
    hidden = model.hidden(step, state)[wanted]
    targets = targets[wanted]
    chunk = max(1, LOGITS_AT_ONCE // model.vocabulary_size)
    log_probs, greedy = [], []
    for start in range(0, len(targets), chunk):
        logits = model.logits(hidden[start : start + chunk]).float()
        chosen = targets[start : start + chunk, None]
        log_probs.append((logits.gather(1, chosen) - log_total(logits))[:, 0])
        greedy.append(logits.argmax(1) == chosen[:, 0])
    return torch.cat(log_probs), torch.cat(greedy)


@torch.inference_mode()
def score_spans(
    model: CausalLM, spans: Sequence[Span], device: torch.device, *, want_greedy: bool = False
) -> list[Scored]:
    """Score each span; rows are sorted by length and padded into batches, results keep the given order."""
    if isinstance(model, DirectScorer) and not want_greedy:
        parts = [spans[start : start + SPANS_AT_ONCE] for start in range(0, len(spans), SPANS_AT_ONCE)]
        return [scored for part in parts for scored in _look_up(model, part, device)]
    results: list[Scored | None] = [None] * len(spans)
    for batch in batches([max(len(span.ids), len(span.source or ())) for span in spans]):
        for index, scored in zip(
            batch, _score_batch(model, [spans[i] for i in batch], device, want_greedy), strict=True
        ):
            results[index] = scored
    return [result for result in results if result is not None]


def batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Indices of rows of so many tokens, the shortest first, few enough a batch for one forward pass."""
    batch: list[int] = []
    for index in sorted(range(len(sizes)), key=sizes.__getitem__):
        if batch and (len(batch) + 1) * sizes[index] > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _score_batch(model: CausalLM, spans: list[Span], device: torch.device, want_greedy: bool) -> list[Scored]:
    rows, lengths = ragged([span.ids for span in spans], device)
    ids, targets, lengths = rows[:, :-1], rows[:, 1:], lengths - 1
    starts = torch.tensor([span.start - 1 for span in spans], device=device)
    counted = torch.arange(ids.shape[1], device=device)
    wanted = (counted >= starts[:, None]) & (counted < lengths[:, None])
    step = replace(_context(spans, counted, device), ids=ids, lengths=None if len(spans) == 1 else lengths)
    alone = step.prefix is None and step.source is None
    state = exact_state(model, [ids.shape[1]] * len(spans)) if alone else None
    log_probs, greedy = target_log_probs(model, step, targets, wanted, state)
    counts = wanted.sum(1).tolist()
    hits = torch.split(greedy, counts) if want_greedy else [greedy[:0]] * len(counts)
    return [Scored(p.tolist(), g.tolist()) for p, g in zip(torch.split(log_probs, counts), hits, strict=True)]


def exact_state(model: CausalLM, sizes: Sequence[int]) -> State | None:
    """An empty state for rows of so many tokens in which numbers do not depend on their company; None: there is none.

    Packed weights have one. Their rounded inputs make a hundredth of a nat of a last bit, so it matters. What forks of
    a row add counts with its tokens, and two pages more for each.
    """
    if not (isinstance(model, TransformerLM) and model.batch_invariant):
        return None
    return PagedCache.empty(model.stack.new_pages(sum(-(-size // PAGE) + 1 for size in sizes)), len(sizes))


def _look_up(model: DirectScorer, spans: Sequence[Span], device: torch.device) -> list[Scored]:
    ids = np.fromiter(chain.from_iterable(span.ids for span in spans), np.int64)
    sizes = np.array([len(span.ids) for span in spans])
    begins = np.cumsum(sizes) - sizes
    first = begins + np.array([span.start - 1 for span in spans])
    wanted = np.arange(len(ids)) >= np.repeat(first, sizes)
    wanted[begins + sizes - 1] = False
    found = look_up(model, ids, sizes, wanted, device)
    ends = begins + sizes - 1
    return [Scored(found[start:end].tolist(), []) for start, end in zip(first.tolist(), ends.tolist(), strict=True)]


def _context(spans: Sequence[Span], counted: Tensor, device: torch.device) -> Step:
    """A step without ids: what they are read under."""
    sources = [span.source for span in spans if span.source is not None]
    source, lengths = ragged(sources, device) if sources else (None, None)
    prefixes = torch.tensor([span.prefix for span in spans], device=device)
    prefix = counted < prefixes[:, None] if int(prefixes.max()) else None
    return Step(ids=counted[None], source=source, source_lengths=lengths, prefix=prefix)


def ragged(rows: Sequence[Sequence[int]], device: torch.device, filler: int = 0) -> tuple[Tensor, Tensor]:
    """(B, T) ids filled up on the right, and (B,) how many are real."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.full((len(rows), int(lengths.max())), filler, dtype=torch.int64)
    for row, ids in enumerate(rows):
        padded[row, : len(ids)] = torch.as_tensor(ids)
    return padded.to(device), lengths.to(device)


def windows(span: Span, context: int | None, stride: int) -> list[Span]:
    """Spans that score `span.ids[1:]` once each; after the first window each scores `stride` new tokens.

    With no context limit, or a text that fits, it is one span.
    """
    ids = span.ids
    if context is None or len(ids) - 1 <= context:
        return [span]
    spans = [replace(span, ids=ids[: context + 1])]
    done = context + 1
    while done < len(ids):
        end = min(done + stride, len(ids))
        begin = max(0, end - context - 1)
        spans.append(replace(span, ids=ids[begin:end], start=done - begin))
        done = end
    return spans
