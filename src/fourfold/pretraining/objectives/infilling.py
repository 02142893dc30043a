"""Filling in the middle with a model that only reads forward (Bavarian et al. 2022, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.random import Generator

from fourfold.errors import UserError
from fourfold.pretraining.objectives.examples import Example, Form, Ids, Row
from fourfold.pretraining.objectives.marks import Marks, Reserve

Order = Literal["psm", "spm"]
PREFIX, SUFFIX, MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"


def rearrange(tokens: Ids, cuts: tuple[int, int], order: Order, marks: Marks) -> Ids:
    """A document in three parts, the middle moved to the end.

    `psm`: PREFIX prefix SUFFIX suffix MIDDLE middle. `spm`: PREFIX SUFFIX suffix MIDDLE prefix middle, the
    variant that shares its reserved tokens with the other (the paper's section 4.3 and appendix D).
    """
    first, middle, last = np.split(tokens, cuts)
    before, after, here = ([marks[name]] for name in (PREFIX, SUFFIX, MIDDLE))
    if order == "psm":
        return np.concatenate([before, first, after, last, here, middle])
    return np.concatenate([before, after, last, here, first, middle])


@dataclass(frozen=True, kw_only=True)
class Infilling:
    """Next-token prediction in which a share `rate` of the documents has its middle moved to the end.

    The loss is on all tokens, as in the paper. The two cuts are uniform over the document; where it is longer than the
    context, over each piece of it (the paper's context-level variant). Departure: cuts fall between
    tokens, not between characters, so a model trained so expects prompts that end with a whole token.
    """

    rate: float = 0.5
    """Share of the documents that is rearranged."""
    spm_share: float = 0.5
    """Of those, how many show the suffix first."""

    forms: ClassVar[tuple[Form, ...]] = ("causal", "prefix")
    needs: ClassVar[tuple[Reserve, ...]] = ("infilling",)
    classes: ClassVar[int] = 0
    dynamic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("spm_share", self.spm_share)):
            if not 0 <= value <= 1:
                raise UserError(f"'{name}' of infilling is out of range", expected="0 to 1", got=value)

    def text_tokens(self, context: int, form: Form) -> int:
        return context - 4

    def example(self, row: Row, marks: Marks, form: Form, random: Generator) -> Example:
        tokens = row.tokens
        if random.random() < self.rate:
            order: Order = "spm" if random.random() < self.spm_share else "psm"
            low, high = np.sort(random.integers(0, len(tokens) + 1, 2)).tolist()
            tokens = rearrange(tokens, (low, high), order, marks)
        return Example(ids=np.concatenate([[marks.start], tokens]), labels=np.append(tokens, marks.end))
