"""Calls of the model: which chunks go together, and what comes out.

Letters: B rows, T tokens, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fourfold.inference.engine.choosing import NotANumber
from fourfold.inference.engine.memory import Memory
from fourfold.inference.engine.row import Chunk, Row
from fourfold.inference.scoring import ragged
from fourfold.models import CausalLM, Step

FILLED_UP = 64
"""Places of a call that may be filled up to its longest chunk: more of them cost more than another call."""


class Outcome(NamedTuple):
    """What a call says."""

    rows: list[Row]
    """Those that have read all they have."""
    logits: Tensor | None
    """(B, V) of them, fp32."""
    failed: dict[Row, Exception]


def grouped(chunks: Sequence[Chunk], memory: Memory) -> Iterator[list[Chunk]]:
    """Chunks of one call each: rows that do not notice company together, the others as the memory has it."""
    exact = [memory.exact(chunk.row) for chunk in chunks]
    yield from _in_company([chunk for chunk, alike in zip(chunks, exact, strict=True) if alike])
    others = [chunk for chunk, alike in zip(chunks, exact, strict=True) if not alike]
    yield from _in_company(others) if memory.together else ([chunk] for chunk in others)


def _in_company(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    """The rows that write in one call, prompts of about one length in others."""
    if single := [chunk for chunk in chunks if chunk.new == 1]:
        yield single
    group: list[Chunk] = []
    for chunk in sorted((c for c in chunks if c.new > 1), key=lambda c: (c.row.request.whole, c.new)):
        waste = len(group) * chunk.new - sum(c.new for c in group)
        if group and (waste > FILLED_UP or group[0].row.request.whole != chunk.row.request.whole):
            yield group
            group = []
        group.append(chunk)
    if group:
        yield group


def call(model: CausalLM, memory: Memory, chunks: list[Chunk], device: torch.device) -> Outcome:
    """Read the chunks in one call; should it fail, each alone, so that only whose fault it is fails."""
    try:
        found = _forward(model, memory, chunks, device)
    except Exception as error:  # whatever a model raises belongs to the requests in the call
        if len(chunks) == 1:
            return Outcome([], None, {chunks[0].row: error})
        found = None
    if found is None:
        return _merged([call(model, memory, [chunk], device) for chunk in chunks])
    if len(chunks) > 1:
        for chunk in chunks:
            chunk.row.running.batch_invariant &= memory.exact(chunk.row)
    return found


def _forward(model: CausalLM, memory: Memory, chunks: list[Chunk], device: torch.device) -> Outcome | None:
    """None: the rows cannot be read together."""
    rows, longest = [chunk.row for chunk in chunks], max(chunk.new for chunk in chunks)
    state = memory.state(rows, longest)
    if state is None:
        return None
    if longest == 1:
        ids, lengths = torch.tensor([[row.ids[row.read]] for row in rows], device=device), None
    else:
        ids, lengths = ragged([row.ids[row.read : row.read + new] for row, new in chunks], device)
    step = Step(
        ids=ids,
        lengths=None if all(new == longest for _, new in chunks) else lengths,
        prefix=_prefix(lengths) if lengths is not None and rows[0].request.whole else None,
        adapters=gates(rows, device),
    )
    hidden = model.hidden(step, state)
    sound = _sound(hidden, chunks) if longest > 1 else [True] * len(rows)
    done = [at for at, (row, new) in enumerate(chunks) if new == row.pending and sound[at]]
    logits = None
    if done:
        last = hidden[:, 0] if longest == 1 else hidden[done, [chunks[at].new - 1 for at in done]]
        logits = model.logits(last).float()
    for (row, new), fine in zip(chunks, sound, strict=True):
        row.read += new
        if fine:
            memory.settle(row)
    failed: dict[Row, Exception] = {row: NotANumber() for row, fine in zip(rows, sound, strict=True) if not fine}
    return Outcome([rows[at] for at in done], logits, failed)


def _merged(parts: Sequence[Outcome]) -> Outcome:
    logits = [part.logits for part in parts if part.logits is not None]
    failed = {row: error for part in parts for row, error in part.failed.items()}
    return Outcome([row for part in parts for row in part.rows], torch.cat(logits) if logits else None, failed)


def _prefix(lengths: Tensor) -> Tensor:
    """(B, T) True on the tokens of the prompts, which see each other."""
    return torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]


def gates(rows: Sequence[Row], device: torch.device) -> Tensor | int | None:
    """(B, deltas) which low-rank deltas act on which row; None: all on all; 0: none on any."""
    wanted = [row.request.adapters for row in rows]
    size = max((len(gate) for gate in wanted if gate is not None), default=0)
    if all(gate is None for gate in wanted):
        return None
    if not any(gate is None or any(gate) for gate in wanted):
        return 0
    return torch.tensor([[1.0] * size if gate is None else list(gate) for gate in wanted], device=device)


def _sound(hidden: Tensor, chunks: Sequence[Chunk]) -> list[bool]:
    """Whether each row's hidden states are numbers: nothing else may be shared as a beginning."""
    finite = hidden.isfinite().flatten(2).all(-1)
    return [bool(finite[at, : chunk.new].all()) for at, chunk in enumerate(chunks)]
