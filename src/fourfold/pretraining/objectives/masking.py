"""Masked language modelling, with or without a question about two segments (BERT and its kin)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.random import Generator

from fourfold.errors import UserError
from fourfold.pretraining.objectives.examples import Example, Form, Ids, Row
from fourfold.pretraining.objectives.marks import Marks, Reserve
from fourfold.training import IGNORED


class Masked(NamedTuple):
    """Tokens with some hidden, and what those were."""

    ids: Ids
    labels: Ids


def choose_tokens(tokens: Ids, rate: float, marks: Marks, whole_words: bool, random: Generator) -> Ids:
    """Places to predict: so many as `rate` says, at least one, of reserved tokens none.

    With `whole_words`, words are drawn until the next one would be too many.
    """
    open_places = np.flatnonzero(np.isin(tokens, marks.ordinary))
    wanted = min(len(open_places), max(1, round(rate * len(open_places))))
    if not whole_words:
        return np.sort(random.choice(open_places, wanted, replace=False))
    word = np.cumsum(marks.word_starts(tokens))
    found: list[Ids] = []
    room = wanted
    for number in random.permutation(np.unique(word[open_places])):
        places = open_places[word[open_places] == number]
        if len(places) <= room or not found:
            found.append(places)
            room -= len(places)
        if room <= 0:
            break
    return np.sort(np.concatenate(found)) if found else open_places


def hide(tokens: Ids, places: Ids, marks: Marks, shares: tuple[float, float], random: Generator) -> Masked:
    """Of the chosen tokens a share becomes the mask, another a random ordinary token, the rest stays."""
    ids, labels = tokens.copy(), np.full(len(tokens), IGNORED)
    labels[places] = tokens[places]
    draw = random.random(len(places))
    masked = draw < shares[0]
    replaced = ~masked & (draw < sum(shares))
    ids[places[masked]] = marks["[MASK]"]
    ids[places[replaced]] = random.choice(marks.ordinary, int(replaced.sum()))
    return Masked(ids, labels)


@dataclass(frozen=True, kw_only=True)
class MaskedLM:
    """Hidden tokens of a text from both sides (Devlin et al. 2019, section 3.1 and appendix A.1).

    With `pairs`, the text is two segments and the model also says whether they belong together:
    `next-sentence` (Devlin et al. 2019, section 3.1; class 1: the second is from another document) or
    `sentence-order` (Lan et al. 2020, section 3.1; class 1: swapped). Departures: whole words are runs of
    letters, not a segmenter's words; static masks are one a row, not ten; pairs are cut at the
    sentence end nearest to a random place.
    """

    rate: float = 0.15
    """Share of the tokens that is predicted."""
    mask_share: float = 0.8
    """Of those, how many are hidden behind the mask."""
    random_share: float = 0.1
    """Of those, how many are replaced by a random token; the others stay."""
    whole_words: bool = False
    """Predict all tokens of a word or none."""
    dynamic: bool = True
    """A new mask in every epoch (Liu et al. 2019, section 4.1), not the same one."""
    pairs: Literal["next-sentence", "sentence-order"] | None = None

    forms: ClassVar[tuple[Form, ...]] = ("bidirectional",)
    needs: ClassVar[tuple[Reserve, ...]] = ("mask",)

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise UserError("the rate of predicted tokens is out of range", expected="between 0 and 1", got=self.rate)
        if min(self.mask_share, self.random_share) < 0 or self.mask_share + self.random_share > 1:
            got = f"{self.mask_share} and {self.random_share}"
            raise UserError("the shares of masked and random tokens do not fit", expected="a sum up to 1", got=got)
        if self.pairs not in (None, "next-sentence", "sentence-order"):
            raise UserError("no such pairs", expected="next-sentence or sentence-order", got=self.pairs)

    @property
    def classes(self) -> int:
        return 0 if self.pairs is None else 2

    def text_tokens(self, context: int, form: Form) -> int:
        return context - (2 if self.pairs is None else 3)

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        start, between = np.array([marks["[CLS]"]]), np.array([marks["[SEP]"]])
        if self.pairs is None:
            ids, labels = self._masked(np.concatenate([start, row.tokens, between]), marks, random)
            return Example(ids=ids, labels=labels)
        first, second, target = segment_pair(row, self.pairs, marks, random)
        ids, labels = self._masked(np.concatenate([start, first, between, second, between]), marks, random)
        segments = np.repeat([0, 1], [len(first) + 2, len(second) + 1])
        return Example(ids=ids, labels=labels, segments=segments, target=target)

    def _masked(self, tokens: Ids, marks: Marks, random: Generator) -> Masked:
        places = choose_tokens(tokens, self.rate, marks, self.whole_words, random)
        return hide(tokens, places, marks, (self.mask_share, self.random_share), random)


class Pair(NamedTuple):
    first: Ids
    second: Ids
    target: int
    """0: they belong together, in this order."""


def segment_pair(row: Row, question: str, marks: Marks, random: Generator) -> Pair:
    """Two segments, together no longer than the row; in one half of the cases they do not belong together."""
    tokens = row.tokens
    cut = sentence_cut(tokens, marks, random)
    first, second = tokens[:cut], tokens[cut:]
    if random.random() < 0.5:
        return Pair(first, second, 0)
    if question == "sentence-order":
        return Pair(second, first, 1)
    return Pair(first, row.elsewhere(random)[: len(tokens) - cut], 1)


def sentence_cut(tokens: Ids, marks: Marks, random: Generator) -> int:
    """A place to cut a text in two: the sentence end nearest to a random place, or that place itself."""
    if len(tokens) < 2:
        return len(tokens)
    place = int(random.integers(1, len(tokens)))
    ends = np.flatnonzero(marks.sentence_ends[tokens[:-1]]) + 1
    return int(ends[np.abs(ends - place).argmin()]) if len(ends) else place
