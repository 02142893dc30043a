"""One request's choice of tokens, alone or side by side with others.

Letters: B rows, V vocabulary size, K candidates of a row.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.inference.results import Sampling
from fourfold.inference.sampling.drawing import draw, draw_from_all, draw_weight, highest, largest, log_total
from fourfold.inference.sampling.history import History
from fourfold.inference.sampling.transforms import (
    MINUS_INFINITY,
    keep_min_p,
    keep_top_p,
    keep_typical,
    scale_temperature,
)

WIDTHS = (64, 1024)
"""Candidates looked at where top-k does not say how many; the next width is tried where they were too few."""
ALL = 1 << 62
"""The width of a vocabulary of any size, put in order."""
GREEDY, EVERYTHING = 0, -1
"""In place of a width: the largest alone, or a draw from the vocabulary in its own order."""


class Matcher(Protocol):
    """What a constraint says about the next token."""

    def allowed(self, ids: Sequence[int], vocabulary_size: int) -> Tensor:
        """(V,) True on the tokens that may follow an answer of these ids; UserError where it cannot be said."""


class Sampler:
    """How one request chooses its tokens, with its own random stream and its own past.

    `prompt_ids` count for the repetition penalty. The choice for given logits, ids and number of earlier draws
    is the same whatever else is in the batch.
    """

    def __init__(self, sampling: Sampling, prompt_ids: Sequence[int] = (), matcher: Matcher | None = None) -> None:
        self.sampling = sampling
        self.temperature = 1.0 if sampling.temperature is None else sampling.temperature
        self.matcher = matcher
        self.history = History(sampling, prompt_ids) if sampling.changes_logits else None
        self.random = random.Random(sampling.seed)
        self.width = self._width()

    @property
    def changes_logits(self) -> bool:
        """Whether it needs logits of its own, to change."""
        return self.history is not None or self.matcher is not None

    def choose(self, logits: Tensor, ids: Sequence[int] = ()) -> int:
        """An id from (V,) fp32 logits, after an answer whose ids so far are `ids` (the prompt is not among them)."""
        chosen = choose_many([(self, ids)], logits[None])[0]
        if isinstance(chosen, Exception):
            raise chosen
        return chosen

    def distribution(self, logits: Tensor, ids: Sequence[int] = ()) -> Tensor:
        """(V,) the probabilities with which `choose` chooses."""
        row = logits.clone()[None]
        self.change(row[0], ids)
        _refuse_bad(row[0].max())
        if self.width == GREEDY:
            return torch.zeros_like(row[0]).scatter(0, highest(row), 1.0)
        if self.width == EVERYTHING:
            return (row[0] / self.temperature).softmax(-1)
        values, places = _settled(self, row, self.width)
        return torch.zeros_like(row[0]).scatter(0, places[0], values[0].softmax(-1))

    def draw(self, weights: Tensor) -> int:
        """An id by (V,) weights, from the request's own random stream."""
        return draw_weight(weights, self.random.random())

    def change(self, logits: Tensor, ids: Sequence[int]) -> None:
        """Penalties, biases and constraints on (V,) logits, in place."""
        if self.history is not None:
            self.history.apply(logits, ids)
        if self.matcher is not None:
            allowed = self.matcher.allowed(ids, logits.shape[-1])
            logits.masked_fill_(~allowed, MINUS_INFINITY)

    def _width(self) -> int:
        if self.temperature == 0:
            return GREEDY
        if self.sampling.top_k is not None:
            return self.sampling.top_k
        if self.sampling.top_p not in (None, 1) or self.sampling.min_p not in (None, 0):
            return WIDTHS[0]
        return EVERYTHING if self.sampling.typical_p is None else ALL


def choose_many(rows: Sequence[tuple[Sampler, Sequence[int]]], logits: Tensor) -> list[int | Exception]:
    """One id a row from (B, V) fp32 logits; a row that cannot be chosen for gets the error and harms no other."""
    results: dict[int, int | Exception] = {}
    if any(sampler.changes_logits for sampler, _ in rows):
        logits = logits.clone()
    for row, (sampler, ids) in enumerate(rows):
        if sampler.changes_logits:
            try:
                sampler.change(logits[row], ids)
            except Exception as error:  # a request's own: the others go on
                results[row] = error
    for row, best in enumerate(logits.amax(-1).tolist()):
        if row not in results:
            try:
                _refuse_bad(best)
            except UserError as error:
                results[row] = error
    left = sorted((row for row in range(len(rows)) if row not in results), key=lambda row: rows[row][0].width)
    for width, group in groupby(left, key=lambda row: rows[row][0].width):
        members = list(group)
        part = logits if len(members) == len(logits) else logits[members]
        results |= zip(members, _choose([rows[row][0] for row in members], part, width), strict=True)
    return [results[row] for row in range(len(rows))]


def top_alternatives(logits: Tensor, k: int) -> list[tuple[int, float]]:
    """The k most probable ids of (V,) logits with the natural logarithms of their probabilities."""
    values, ids = largest(logits[None], k)
    log_probs = values[0] - log_total(logits[None])[0]
    return list(zip(ids[0].tolist(), log_probs.tolist(), strict=True))


def _refuse_bad(best: float | Tensor) -> None:
    """`best` is the largest logit of a row: not a number where any is not."""
    if best == MINUS_INFINITY:
        raise UserError("no token may follow: the constraint, or what is biased away, leaves nothing to choose")
    if not abs(float(best)) < float("inf"):
        raise UserError("the model gave numbers that are not finite, so no token can be chosen", got=float(best))


def _choose(samplers: Sequence[Sampler], logits: Tensor, width: int) -> list[int]:
    """Ids of rows that are chosen for in the same way."""
    if width == GREEDY:
        ids: list[int] = highest(logits).tolist()
        return ids
    uniform = [sampler.random.random() for sampler in samplers]
    if width == EVERYTHING:
        if any(sampler.temperature != 1 for sampler in samplers):
            logits = scale_temperature(logits, _column([sampler.temperature for sampler in samplers], logits))
        ids = draw_from_all(logits, uniform).tolist()
        return ids
    return _draw(samplers, logits, width, uniform)


def _settled(sampler: Sampler, logits: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Logits and ids of all that may be drawn for one row."""
    values, places, (enough,) = _candidates([sampler], logits, width)
    return (values, places) if enough else _settled(sampler, logits, _wider(width))


def _draw(samplers: Sequence[Sampler], logits: Tensor, width: int, uniform: Sequence[float]) -> list[int]:
    """Draw among so many candidates; rows that may have more are drawn alone, among more, by the same number."""
    values, places, enough = _candidates(samplers, logits, width)
    ids: list[int] = places.gather(1, draw(values, uniform)[:, None])[:, 0].tolist()
    for row, is_enough in enumerate(enough):
        if not is_enough:
            more, among = _settled(samplers[row], logits[row : row + 1], _wider(width))
            ids[row] = int(among[0, draw(more, [uniform[row]])[0]])
    return ids


def _wider(width: int) -> int:
    return next((wider for wider in WIDTHS if wider > width), ALL)


def _candidates(samplers: Sequence[Sampler], logits: Tensor, width: int) -> tuple[Tensor, Tensor, list[bool]]:
    """(B, K) logits and ids of what may be drawn, the order being temperature, top-k, top-p, min-p, typical.

    And whether no token beyond them may be drawn.
    """
    options = [sampler.sampling for sampler in samplers]
    temperatures = [sampler.temperature for sampler in samplers]
    if any(temperature != 1 for temperature in temperatures):
        logits = scale_temperature(logits, _column(temperatures, logits))
    values, ids = largest(logits, width)
    whole = values.shape[-1] == logits.shape[-1] or options[0].top_k is not None
    if any(option.top_p is not None for option in options):
        total = None if whole else log_total(logits)
        values = keep_top_p(values, _column((_share(option.top_p) for option in options), logits), total)
    if any(option.min_p is not None for option in options):
        values = keep_min_p(values, _column((option.min_p or 0.0 for option in options), logits))
    enough = [whole] * len(samplers) if whole else torch.isinf(values[:, -1]).tolist()
    if any(option.typical_p is not None for option in options):
        values = keep_typical(values, _column((_share(option.typical_p) for option in options), logits))
    return values, ids, enough


def _share(p: float | None) -> float:
    """A share that keeps everything, however sums are rounded, where none is asked for."""
    return 2.0 if p is None or p == 1 else p


def _column(numbers: Iterable[float | None], like: Tensor) -> Tensor:
    """(B, 1)."""
    return torch.tensor(list(numbers), dtype=like.dtype, device=like.device)[:, None]
