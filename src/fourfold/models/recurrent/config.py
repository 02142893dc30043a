"""The sizes of a recurrent language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fourfold.errors import UserError


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """A stack of recurrent layers between an embedding and a softmax."""

    vocabulary_size: int
    hidden_size: int
    layers: int = 1
    cell: Literal["lstm", "gru", "elman"] = "lstm"
    context: int = 512
    """Tokens of a training window; the model itself reads texts of any length."""
    tied_embeddings: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "hidden_size", "layers", "context"):
            if getattr(self, name) < 1:
                raise UserError(f"model option {name} is out of range", expected="at least 1", got=getattr(self, name))
