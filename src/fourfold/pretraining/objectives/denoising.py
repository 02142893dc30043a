"""Making a whole text from a damaged one (BART; Lewis et al. 2020, section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.random import Generator

from fourfold.errors import UserError, unknown_name
from fourfold.pretraining.objectives.examples import Example, Form, Ids, Row, lay_out
from fourfold.pretraining.objectives.marks import Marks, Reserve
from fourfold.pretraining.objectives.masking import choose_tokens
from fourfold.pretraining.objectives.spans import place_spans

Noise = Literal["token-masking", "token-deletion", "text-infilling", "sentence-permutation", "document-rotation"]
NOISES: tuple[Noise, ...] = (
    "token-masking",
    "token-deletion",
    "text-infilling",
    "sentence-permutation",
    "document-rotation",
)


def infill(tokens: Ids, rate: float, mean_span: float, mask: int, random: Generator) -> Ids:
    """Spans whose sizes follow a Poisson distribution become one mask each; a span of size 0 puts a mask in.

    Spans are drawn until they hold `rate` of the tokens. The result is never longer than the text.
    """
    wanted, sizes = max(1, round(rate * len(tokens))), list[int]()
    while sum(sizes) < wanted:
        size = min(int(random.poisson(mean_span)), wanted - sum(sizes))
        if size > 0 or len(sizes) < sum(sizes):  # one more mask than tokens taken would make the text longer
            sizes.append(size)
    pieces: list[Ids] = []
    before = 0
    for start, end in place_spans(len(tokens), sizes, random):
        pieces += [tokens[before:start], np.array([mask])]
        before = end
    return np.concatenate([*pieces, tokens[before:]])


def permute_sentences(tokens: Ids, marks: Marks, random: Generator) -> Ids:
    """The sentences in a random order."""
    cuts = np.flatnonzero(marks.sentence_ends[tokens[:-1]]) + 1
    sentences = np.split(tokens, cuts)
    return np.concatenate([sentences[index] for index in random.permutation(len(sentences))])


def rotate(tokens: Ids, random: Generator) -> Ids:
    """The text from a random token to its end, then what came before."""
    return np.roll(tokens, -int(random.integers(len(tokens))))


@dataclass(frozen=True, kw_only=True)
class Denoising:
    """The text itself from what the noises, one after another, leave of it.

    The default is what BART was trained with in the end: sentences permuted, then 30 % infilled.
    Departures: spans begin at any token, not at words; a span of size 0 is left out where the source
    would grow beyond the text.
    """

    noises: tuple[Noise, ...] = ("sentence-permutation", "text-infilling")
    rate: float = 0.3
    """Share of the tokens masked, deleted or infilled."""
    mean_span: float = 3.0
    """Mean of the Poisson distribution of span sizes."""

    forms: ClassVar[tuple[Form, ...]] = ("encoder-decoder", "prefix", "causal")
    needs: ClassVar[tuple[Reserve, ...]] = ("mask",)
    classes: ClassVar[int] = 0
    dynamic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "noises", tuple(self.noises))
        for noise in self.noises:
            if noise not in NOISES:
                raise unknown_name("noise", noise, NOISES)
        if not 0 < self.rate < 1:
            raise UserError("the rate of noise is out of range", expected="between 0 and 1", got=self.rate)
        if self.mean_span <= 0:
            raise UserError("the mean span is out of range", expected="above 0", got=self.mean_span)

    def text_tokens(self, context: int, form: Form) -> int:
        return context - 1 if form == "encoder-decoder" else max(1, (context - 1) // 2)

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        source = self.damaged(row.tokens, marks, random)
        return lay_out(np.append(source, marks.end), np.append(row.tokens, marks.end), form, marks)

    def damaged(self, tokens: Ids, marks: Marks, random: Generator) -> Ids:
        """What the encoder sees, without its end token."""
        for noise in self.noises:
            if not len(tokens):
                break
            tokens = self._apply(noise, tokens, marks, random)
        return tokens

    def _apply(self, noise: Noise, tokens: Ids, marks: Marks, random: Generator) -> Ids:
        if noise == "text-infilling":
            return infill(tokens, self.rate, self.mean_span, marks["[MASK]"], random)
        if noise == "sentence-permutation":
            return permute_sentences(tokens, marks, random)
        if noise == "document-rotation":
            return rotate(tokens, random)
        places = choose_tokens(tokens, self.rate, marks, False, random)
        if noise == "token-deletion":
            return np.delete(tokens, places)
        masked = tokens.copy()
        masked[places] = marks["[MASK]"]
        return masked
