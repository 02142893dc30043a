"""A mixture of denoisers, each announced by its mode token (UL2; Tay et al. 2022, sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import Generator

from fourfold.errors import UserError
from fourfold.pretraining.objectives.examples import Example, Form, Ids, Row, lay_out
from fourfold.pretraining.objectives.marks import Marks, Reserve
from fourfold.pretraining.objectives.spans import SpanCorruption

DENOISERS: Mapping[str, tuple[SpanCorruption, ...]] = {
    "[R]": (SpanCorruption(rate=0.15, mean_span=3), SpanCorruption(rate=0.15, mean_span=8)),
    "[S]": (),
    "[X]": (
        SpanCorruption(rate=0.5, mean_span=3),
        SpanCorruption(rate=0.5, mean_span=8),
        SpanCorruption(rate=0.15, mean_span=64),
        SpanCorruption(rate=0.5, mean_span=64),
    ),
}
"""Regular, sequential and extreme denoising by mode token (table 1 of the paper)."""


@dataclass(frozen=True, kw_only=True)
class MixtureOfDenoisers:
    """Each row goes to one of the seven denoisers, drawn with equal chance.

    The sequential one asks for the end of the text, a quarter of it on average. Departure: each takes the
    same length of text, so that a row is full only under the denoiser whose example is longest.
    """

    modes: tuple[str, ...] = ("[R]", "[S]", "[X]")
    """The kinds of denoiser that take part."""

    forms: ClassVar[tuple[Form, ...]] = ("encoder-decoder", "prefix", "causal")
    needs: ClassVar[tuple[Reserve, ...]] = ("sentinels", "modes")
    classes: ClassVar[int] = 0
    dynamic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "modes", tuple(self.modes))
        unknown = [mode for mode in self.modes if mode not in DENOISERS]
        if unknown or not self.modes:
            raise UserError("no such denoisers", expected=", ".join(DENOISERS), got=", ".join(unknown) or "none")

    @property
    def denoisers(self) -> list[tuple[str, SpanCorruption | None]]:
        """Mode token and denoiser; None is the sequential one."""
        return [(mode, one) for mode in self.modes for one in DENOISERS[mode] or (None,)]

    def text_tokens(self, context: int, form: Form) -> int:
        return min(
            context - 3 if one is None else one.text_tokens(context - 1, form)  # a place for the mode token
            for _, one in self.denoisers
        )

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        denoisers = self.denoisers
        mode, denoiser = denoisers[random.integers(len(denoisers))]
        pair = sequential(row.tokens, marks, random) if denoiser is None else denoiser.pair(row.tokens, marks, random)
        source = np.concatenate([[marks[mode]], pair[0], [marks.end]])
        return lay_out(source, np.append(pair[1], marks.end), form, marks)


def sequential(tokens: Ids, marks: Marks, random: Generator) -> tuple[Ids, Ids]:
    """The text up to a sentinel, and the sentinel with the rest: up to half of the text."""
    rest = int(random.integers(1, max(1, len(tokens) // 2) + 1))
    sentinel = marks.sentinels[:1]
    return np.concatenate([tokens[:-rest], sentinel]), np.concatenate([sentinel, tokens[-rest:]])
