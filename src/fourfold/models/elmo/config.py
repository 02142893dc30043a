"""The sizes of a bidirectional recurrent language model."""

from __future__ import annotations

from dataclasses import dataclass

from fourfold.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Characters:
    """Tokens read by how they are spelt, in bytes, instead of by a vector each."""

    width: int = 16
    """Bytes of a token that are read."""
    size: int = 16
    """Numbers a byte."""
    filters: tuple[tuple[int, int], ...] = ((1, 32), (2, 32), (3, 64), (4, 128))
    """Bytes a filter sees, and how many such filters there are."""

    def __post_init__(self) -> None:
        sizes = [self.width, self.size, *(number for pair in self.filters for number in pair)]
        if not self.filters or min(sizes) < 1 or max(seen for seen, _ in self.filters) > self.width:
            raise UserError(
                "option characters is out of range", expected="filters no wider than the bytes read", got=self.filters
            )


@dataclass(frozen=True, kw_only=True)
class ElmoConfig:
    """Two stacks of LSTMs, one a direction, over the same embeddings and under the same softmax."""

    vocabulary_size: int
    hidden_size: int
    """Of the embedding and of each direction."""
    layers: int = 2
    context: int = 512
    """Tokens of a training window; the model itself reads texts of any length."""
    dropout: float = 0.0
    characters: Characters | None = None
    """None: a vector a token, which the softmax shares."""

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "hidden_size", "layers", "context"):
            if getattr(self, name) < 1:
                raise UserError(f"model option {name} is out of range", expected="at least 1", got=getattr(self, name))
