"""Predicting what comes next: after everything, after a prefix that is seen whole, or from both ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import Generator

from fourfold.pretraining.objectives.examples import Example, Form, Row, lay_out
from fourfold.pretraining.objectives.marks import Marks, Reserve


@dataclass(frozen=True, kw_only=True)
class Causal:
    """Every token from those before it (Radford et al. 2018, equation 1), the end of the text included."""

    forms: ClassVar[tuple[Form, ...]] = ("causal", "prefix")
    needs: ClassVar[tuple[Reserve, ...]] = ()
    classes: ClassVar[int] = 0
    dynamic: ClassVar[bool] = True

    def text_tokens(self, context: int, form: Form) -> int:
        return context - 1

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        ids = np.concatenate([[marks.start], row.tokens])
        return Example(ids=ids, labels=np.append(row.tokens, marks.end))


@dataclass(frozen=True, kw_only=True)
class TwoWay:
    """Every token from those before it and from those after it, by two models (Peters et al. 2018, section 3.1).

    A row is that of predicting the next token; the loss of the other direction takes its labels from the same ids.
    """

    forms: ClassVar[tuple[Form, ...]] = ("both-directions",)
    needs: ClassVar[tuple[Reserve, ...]] = ()
    classes: ClassVar[int] = 0
    dynamic: ClassVar[bool] = True

    def text_tokens(self, context: int, form: Form) -> int:
        return context - 1

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        return Causal().example(row, marks, form, random)


@dataclass(frozen=True, kw_only=True)
class PrefixLM:
    """The rest of a text after a prefix of random length (Raffel et al. 2020, sections 3.2.1 and 3.3.1).

    The prefix takes any share of the text with equal chance, so that it is half of it on average. Its own
    tokens are not predicted.
    """

    forms: ClassVar[tuple[Form, ...]] = ("prefix", "causal", "encoder-decoder")
    needs: ClassVar[tuple[Reserve, ...]] = ()
    classes: ClassVar[int] = 0
    dynamic: ClassVar[bool] = True

    def text_tokens(self, context: int, form: Form) -> int:
        return context - 1

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        text = np.concatenate([[marks.start], row.tokens, [marks.end]])
        cut = int(random.integers(1, len(text)))
        return lay_out(text[:cut], text[cut:], form, marks)
