"""Keys and values of the tokens a transformer has seen: the state handle of `TransformerLM`.

Rows may have different lengths. What lies beyond a row's length is never read,
so padding may be written there and overwritten later.
Letters: L layers, B rows, G key-value heads, S capacity, P head size, T new tokens.
"""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from fourfold.errors import UserError


@runtime_checkable
class Earlier(Protocol):
    """Keys and values of earlier tokens, wherever they are kept; what attention needs of a cache."""

    @property
    def lengths(self) -> Tensor:
        """(B,) or (1,) tokens before those of the call."""

    @property
    def repeatable(self) -> bool:
        """Whether a layer that is computed again, in the backward pass, may append again."""

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """From (B, G, T, P) of the call's tokens to those of all tokens up to them."""

    def advance(self, lengths: Tensor) -> None:
        """The call is over."""


class KeyValueCache:
    """Room for `capacity` tokens a row, (L, B, G, S, P) keys and as many values."""

    repeatable = False

    def __init__(self, keys: Tensor, values: Tensor, lengths: Tensor) -> None:
        self.keys = keys
        self.values = values
        self._lengths = lengths
        self._starts: list[int] = lengths.tolist()
        """The lengths as numbers: every layer of a call asks for them."""

    @classmethod
    def empty(cls, shape: tuple[int, int, int, int, int], dtype: torch.dtype, device: torch.device) -> Self:
        """An empty cache of shape (L, B, G, S, P)."""
        keys = torch.zeros(shape, dtype=dtype, device=device)
        return cls(keys, torch.zeros_like(keys), torch.zeros(shape[1], dtype=torch.int64, device=device))

    @property
    def lengths(self) -> Tensor:
        return self._lengths

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (B, G, T, P) keys and values after each row's length; returns all up to the longest row.

        The lengths move only with `advance`, once every layer has appended.
        """
        rows, _, new, _ = keys.shape
        starts = self._starts
        end = max(starts) + new
        if end > self.capacity:
            raise UserError("the text is longer than the context", expected=f"at most {self.capacity} tokens", got=end)
        if min(starts) == max(starts):
            self.keys[layer, :, :, starts[0] : end] = keys
            self.values[layer, :, :, starts[0] : end] = values
        elif new == 1:
            index = torch.arange(rows, device=keys.device)
            self.keys[layer, index, :, self._lengths] = keys[:, :, 0]
            self.values[layer, index, :, self._lengths] = values[:, :, 0]
        else:
            for row in range(rows):
                self.keys[layer, row, :, starts[row] : starts[row] + new] = keys[row]
                self.values[layer, row, :, starts[row] : starts[row] + new] = values[row]
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, lengths: Tensor) -> None:
        """The call that appended is over; `lengths[b]` of its tokens were real."""
        self._lengths = self._lengths + lengths
        self._starts = self._lengths.tolist()

    def fork(self, rows: Tensor) -> Self:
        return type(self)(self.keys[:, rows], self.values[:, rows], self._lengths[rows])

    def truncate(self, lengths: Tensor) -> None:
        self._lengths = torch.minimum(self._lengths, lengths.to(self._lengths))
        self._starts = self._lengths.tolist()

    def free(self) -> None:
        del self.keys, self.values
