"""The choices of a word2vec training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fourfold.errors import UserError


@dataclass(frozen=True, kw_only=True)
class VectorsConfig:
    """Mikolov et al. 2013a (CBOW, skip-gram) and 2013b (negatives, subsampling), with their program's defaults."""

    architecture: Literal["skip-gram", "cbow"] = "skip-gram"
    output: Literal["negative-sampling", "hierarchical-softmax"] = "negative-sampling"
    size: int = 100
    """Numbers a word."""
    window: int = 5
    """Words to each side at most; each occurrence draws how many, from 1 up."""
    negatives: int = 5
    """Words drawn against each right one, by the 0.75th power of their counts."""
    sample: float = 1e-3
    """Share of the text above which a word's occurrences are read only at times; 0: all are read."""
    epochs: int = 5
    rate: float | None = None
    """Step size at the start; None: 0.025 for skip-gram, 0.05 for CBOW."""
    last_rate: float = 1e-4
    """Step size at the end; it falls in a straight line."""
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("size", "window", "negatives", "epochs"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"vectors option {name} is out of range", expected="at least 1", got=getattr(self, name)
                )
        if self.window > 1000:
            raise UserError("vectors option window is out of range", expected="at most 1000", got=self.window)
        if not 0 <= self.sample < 1:
            raise UserError("vectors option sample is out of range", expected="0 to 1", got=self.sample)
        if not 0 < self.last_rate <= self.first_rate < 10:
            raise UserError("vectors option rate is out of range", expected="above last_rate", got=self.first_rate)
        if self.seed < 0:
            raise UserError("vectors option seed is out of range", expected="at least 0", got=self.seed)

    @property
    def first_rate(self) -> float:
        return self.rate if self.rate is not None else 0.025 if self.architecture == "skip-gram" else 0.05
