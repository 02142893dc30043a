"""The sizes of a language model of the second generation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from fourfold.errors import UserError
from fourfold.models.recurrent.adaptive import default_cutoffs


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """A stack of recurrent layers, or a feed-forward one over a window, between an embedding and a softmax."""

    vocabulary_size: int
    hidden_size: int
    layers: int = 1
    cell: Literal["lstm", "gru", "elman", "feed-forward"] = "lstm"
    context: int = 512
    """Tokens of a training window; the model itself reads texts of any length."""
    tied_embeddings: bool = True
    """The softmax uses the embeddings; not with an adaptive one."""
    dropout: float = 0.0
    window: int = 4
    """Tokens a feed-forward model predicts from, the n - 1 of an n-gram."""
    softmax: Literal["full", "adaptive"] = "full"
    cutoffs: tuple[int, ...] = ()
    """Ids at which the clusters of an adaptive softmax begin; empty: a tenth and half of the vocabulary."""

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "hidden_size", "layers", "context", "window"):
            if getattr(self, name) < 1:
                raise UserError(f"model option {name} is out of range", expected="at least 1", got=getattr(self, name))
        cuts = (0, *self.cluster_starts, self.vocabulary_size) if self.softmax == "adaptive" else (0, 1)
        if any(later <= earlier for earlier, later in pairwise(cuts)):
            raise UserError(
                "model option cutoffs is out of range",
                expected=f"ids that rise between 1 and {self.vocabulary_size - 1}",
                got=list(self.cluster_starts),
            )

    @property
    def cluster_starts(self) -> tuple[int, ...]:
        return self.cutoffs or default_cutoffs(self.vocabulary_size)

    @property
    def tied(self) -> bool:
        """Whether one matrix both reads and predicts."""
        return self.tied_embeddings and self.softmax == "full"
