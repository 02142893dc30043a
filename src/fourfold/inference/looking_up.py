"""Scoring by a model that looks probabilities up (n-grams): texts end to end in arrays, no Python object a token.

Letters: N tokens of all texts, D texts, R rows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from fourfold.models import DirectScorer, Step

IGNORED = -1
"""In place of a target that is not asked for."""
ROWS_SIDE_BY_SIDE = 32
"""Rows that texts are laid out in: looking one up hides the wait for another."""
LINE_BYTES = 1 << 20
"""About as many bytes of lines are scored together."""

Ids = NDArray[np.int64]


@runtime_checkable
class EncodesLines(Protocol):
    """A tokenizer that makes ids of the raw bytes of lines."""

    bos_id: int
    eos_id: int

    def encode_lines(self, lines: bytes, /) -> tuple[NDArray[np.int32], Ids]: ...


class LineScores(NamedTuple):
    """One entry a line."""

    totals: NDArray[np.float64]
    """Nats, the end of the line counted."""
    tokens: Ids
    """Predicted tokens."""


def score_lines(model: DirectScorer, tokenizer: EncodesLines, lines: bytes, device: torch.device) -> LineScores:
    """Each line as a sentence between document start and end; the last may lack its newline."""
    parts = [_score_part(model, tokenizer, part, device) for part in _parts(lines)]
    if not parts:
        return LineScores(np.empty(0), np.empty(0, np.int64))
    return LineScores(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _parts(lines: bytes) -> list[bytes]:
    """Whole lines, about `LINE_BYTES` of them at a time."""
    cuts = [0]
    while cuts[-1] < len(lines):
        end = lines.find(b"\n", min(cuts[-1] + LINE_BYTES, len(lines)))
        cuts.append(end + 1 if end >= 0 else len(lines))
    return [lines[start:end] for start, end in pairwise(cuts)]


def _score_part(model: DirectScorer, tokenizer: EncodesLines, lines: bytes, device: torch.device) -> LineScores:
    words, ends = tokenizer.encode_lines(lines)
    tokens = np.diff(ends, prepend=0) + 1
    borders = np.cumsum(tokens + 1)
    ids = np.empty(int(borders[-1]), np.int64)
    inside = np.ones(len(ids), np.bool_)
    starts = borders - tokens - 1
    inside[starts] = inside[borders - 1] = False
    ids[starts], ids[borders - 1], ids[inside] = tokenizer.bos_id, tokenizer.eos_id, words
    wanted = np.ones(len(ids), np.bool_)
    wanted[borders - 1] = False
    found = look_up(model, ids, tokens + 1, wanted, device)
    return LineScores(np.add.reduceat(found, starts, dtype=np.float64), tokens)


def look_up(
    model: DirectScorer, ids: Ids, sizes: Ids, wanted: NDArray[np.bool_], device: torch.device
) -> NDArray[np.float32]:
    """(N,) log P(next id) at each wanted place of texts laid end to end, (D,) sizes of them; 0 elsewhere."""
    borders = np.cumsum(sizes)
    rows = min(ROWS_SIDE_BY_SIDE, len(sizes), -(-len(ids) // int(sizes.max())))
    # Rows of about one length, none begun within a text.
    places = np.searchsorted(borders, np.arange(1, rows) * len(ids) / rows)
    cuts = np.unique(np.concatenate([[0], borders[places], [len(ids)]]))
    lengths = np.diff(cuts)
    targets = np.full(len(ids), IGNORED, np.int64)
    np.copyto(targets[:-1], ids[1:], where=wanted[:-1])
    fresh = np.zeros(len(ids), np.int64)
    fresh[borders[:-1]] = 1
    laid = np.zeros((3, len(lengths), int(lengths.max())), np.int64)
    for row, (start, end) in enumerate(pairwise(cuts.tolist())):
        for layer, values in zip(laid, (ids, targets, fresh), strict=True):
            layer[row, : end - start] = values[start:end]
    np.cumsum(laid[2], axis=1, out=laid[2])
    read, asked, documents = torch.from_numpy(laid).to(device)
    step = Step(ids=read, documents=documents, lengths=torch.from_numpy(lengths).to(device))
    found = model.target_log_probs(step, asked).cpu().numpy()
    return np.concatenate([found[row, :length] for row, length in enumerate(lengths.tolist())])
