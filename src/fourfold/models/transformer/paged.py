"""Keys and values in pages: rows of any length share one store, and rows that begin alike share pages.

A row is a table of page numbers. A page is written by one row only: a row that goes on in a page which others
read too copies it first. Page 0 is empty for ever and stands for pages a window has left behind.
Letters: L layers, N pages, B rows, G key-value heads, P head size, T new tokens, S keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from fourfold.errors import FourfoldError
from fourfold.models.untouched import untouched

PAGE = 16
"""Tokens of a page."""
KEPT_BEHIND = 64
"""Tokens behind the window that a row keeps, so that it can be cut back a little."""
QUIETEST = 1e-12
"""The smallest scale of a vector kept in int8: a vector of zeros has one too."""


class OutOfPages(FourfoldError):
    """The store is full: the caller frees pages or waits."""


class PageShape(NamedTuple):
    """What a page of one layer holds for each token."""

    layers: int
    kv_heads: int
    head_size: int

    def bytes(self, dtype: torch.dtype) -> int:
        """Of one page: keys and values of all layers."""
        vector = self.head_size * dtype.itemsize + (4 if dtype == torch.int8 else 0)
        return 2 * self.layers * self.kv_heads * PAGE * vector


class Pages:
    """The store: (L, N, G, PAGE, P) keys and as many values, with a count of readers a page.

    In int8 each vector has a scale, its largest magnitude over 127: `key_scales`, `value_scales` (L, N, G, PAGE).
    On the CPU memory is taken when a page is first written.
    """

    def __init__(
        self,
        shape: PageShape,
        count: int,
        dtype: torch.dtype,
        device: torch.device,
        *,
        numbers: torch.dtype | None = None,
        window: int | None = None,
    ) -> None:
        """`numbers`: the dtype the model computes in (default: `dtype`); `window`: of the layer that sees farthest."""
        layers, kv_heads, head_size = self.shape = shape
        self.numbers = numbers or (torch.float32 if dtype == torch.int8 else dtype)
        self.window = window
        self.keys = _zeros((layers, count + 1, kv_heads, PAGE, head_size), dtype, device)
        self.values = _zeros((layers, count + 1, kv_heads, PAGE, head_size), dtype, device)
        self.key_scales, self.value_scales = None, None
        if dtype == torch.int8:
            self.key_scales = _zeros((layers, count + 1, kv_heads, PAGE), torch.float32, device)
            self.value_scales = _zeros((layers, count + 1, kv_heads, PAGE), torch.float32, device)
        self.readers = [0] * (count + 1)
        self.readers[0] = 1
        self._unused = list(range(count, 0, -1))

    @property
    def dtype(self) -> torch.dtype:
        return self.keys.dtype

    @property
    def device(self) -> torch.device:
        return self.keys.device

    @property
    def count(self) -> int:
        """Pages there are, the empty one not counted."""
        return len(self.readers) - 1

    @property
    def free(self) -> int:
        """Pages nobody reads."""
        return len(self._unused)

    def take(self) -> int:
        """A page of one's own. OutOfPages if there is none."""
        if not self._unused:
            raise OutOfPages(f"all {self.count} pages of keys and values are in use")
        page = self._unused.pop()
        self.readers[page] = 1
        return page

    def share(self, pages: Iterable[int]) -> None:
        """One more reader each."""
        for page in pages:
            self.readers[page] += 1

    def release(self, pages: Iterable[int]) -> None:
        """One reader less each; a page without readers is free."""
        for page in pages:
            if page:
                self.readers[page] -= 1
                if not self.readers[page]:
                    self._unused.append(page)

    def copy(self, page: int) -> int:
        """A page of one's own with the same content."""
        other = self.take()
        for tensor in self.tensors():
            tensor[:, other] = tensor[:, page]
        return other

    def scrub(self, pages: Sequence[int]) -> None:
        """Overwrite with zeros what is not a number, or could become none: masked values are still multiplied."""
        for tensor in self.tensors():
            tensor[:, list(pages)] = 0

    def tensors(self) -> list[Tensor]:
        """All that a page consists of, pages in the second dimension."""
        found = (self.keys, self.values, self.key_scales, self.value_scales)
        return [tensor for tensor in found if tensor is not None]

    def write(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> None:
        """(n, P) keys and values to `places` (n,), counted in vectors of a layer."""
        size = self.shape.head_size
        for store, scales, vectors in (
            (self.keys, self.key_scales, keys),
            (self.values, self.value_scales, values),
        ):
            if scales is not None:
                scale = vectors.abs().amax(-1).float().div_(127).clamp_(min=QUIETEST)
                scales[layer].view(-1).index_copy_(0, places, scale)
                vectors = (vectors.float() / scale[:, None]).round_().to(torch.int8)
            store[layer].view(-1, size).index_copy_(0, places, vectors.to(store.dtype))

    def read(self, layer: int, runs: Tensor) -> tuple[Tensor, Tensor]:
        """(n, PAGE, P) keys and values of `runs` (n,), each a page of one head: number `page * G + head`."""
        size, found = self.shape.head_size, []
        for store, scales in ((self.keys, self.key_scales), (self.values, self.value_scales)):
            vectors = store[layer].view(-1, PAGE, size).index_select(0, runs)
            if scales is not None:
                scale = scales[layer].view(-1, PAGE).index_select(0, runs)
                vectors = vectors * scale[..., None]
            found.append(vectors.to(self.numbers))
        return found[0], found[1]


class _Call(NamedTuple):
    """Where the tokens of one model call go, and what is read: the same in every layer."""

    new: int
    places: Tensor
    runs: Tensor
    keys: int


class PagedCache:
    """What a transformer has seen of B rows: `Earlier` for its layers, `State` for its owner.

    `tables` and the lengths belong to this handle; the tables are changed in place.
    """

    repeatable = False

    def __init__(self, pages: Pages, tables: list[list[int]], lengths: Sequence[int]) -> None:
        self.pages = pages
        self.tables = tables
        self.starts = list(lengths)
        """The lengths as numbers."""
        self._lengths = torch.tensor(self.starts, dtype=torch.int64, device=pages.device)
        self._call: _Call | None = None

    @classmethod
    def empty(cls, pages: Pages, rows: int) -> Self:
        """Rows that have seen nothing."""
        return cls(pages, [[] for _ in range(rows)], [0] * rows)

    @property
    def lengths(self) -> Tensor:
        return self._lengths

    def missing(self, new: int) -> int:
        """Pages that `reserve` would take."""
        count = 0
        for table, start in zip(self.tables, self.starts, strict=True):
            held = len(table)
            shared = start < held * PAGE and self.pages.readers[table[start // PAGE]] > 1
            count += max(0, -(-(start + new) // PAGE) - held) + shared
        return count

    def reserve(self, new: int) -> None:
        """Pages of its own for `new` tokens a row after those it has. OutOfPages, and nothing changed, if too few."""
        if (missing := self.missing(new)) > self.pages.free:
            raise OutOfPages(f"{missing} pages of keys and values are needed, {self.pages.free} are free")
        for table, start in zip(self.tables, self.starts, strict=True):
            at = start // PAGE
            if at < len(table) and self.pages.readers[table[at]] > 1:
                page = self.pages.copy(table[at])
                self.pages.release([table[at]])
                table[at] = page
            while len(table) * PAGE < start + new:
                table.append(self.pages.take())

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (B, G, T, P) keys and values after each row's length; returns all up to the longest row."""
        if self._call is None or self._call.new != keys.shape[2]:
            self._call = self._prepare(keys.shape[2])
        call, size = self._call, keys.shape[-1]
        self.pages.write(layer, call.places, keys.reshape(-1, size), values.reshape(-1, size))
        shape = (*keys.shape[:2], -1, size)
        old_keys, old_values = self.pages.read(layer, call.runs)
        return old_keys.view(shape)[:, :, : call.keys], old_values.view(shape)[:, :, : call.keys]

    def advance(self, lengths: Tensor) -> None:
        """The call is over; `lengths[b]` of its tokens were real, and pages that held none of them are given back."""
        self._call = None
        counts = lengths.tolist()
        self._settle([start + count for start, count in zip(self.starts, counts, strict=True)])
        if self.pages.window is not None:
            self._leave_behind(self.pages.window + KEPT_BEHIND)

    def fork(self, rows: Tensor) -> Self:
        chosen = rows.tolist()
        tables = [list(self.tables[row]) for row in chosen]
        for table in tables:
            self.pages.share(table)
        return type(self)(self.pages, tables, [self.starts[row] for row in chosen])

    def truncate(self, lengths: Tensor) -> None:
        """Forget what came after. ValueError where a window has left behind what the row would go on from."""
        wanted = [min(old, new) for old, new in zip(self.starts, lengths.tolist(), strict=True)]
        window = self.pages.window
        for table, old, new in zip(self.tables, self.starts, wanted, strict=True):
            if window is not None and new < old and 0 in table[max(0, new - window) // PAGE : -(-new // PAGE)]:
                raise ValueError(f"a row of {old} tokens cannot go back to {new}: the window has left them behind")
        self._settle(wanted)

    def free(self) -> None:
        for table in self.tables:
            self.pages.release(table)
            table.clear()
        self._settle([0] * len(self.tables))

    def _settle(self, lengths: list[int]) -> None:
        """New lengths; pages beyond them are given back."""
        for table, length in zip(self.tables, lengths, strict=True):
            kept = -(-length // PAGE)
            if len(table) > kept:
                self.pages.release(table[kept:])
                del table[kept:]
        self.starts = lengths
        self._lengths = torch.tensor(lengths, dtype=torch.int64, device=self.pages.device)

    def _leave_behind(self, seen: int) -> None:
        """Give back the pages of which no layer will see a token again."""
        for table, length in zip(self.tables, self.starts, strict=True):
            at = max(0, length - seen) // PAGE - 1
            while at >= 0 and table[at]:
                self.pages.release([table[at]])
                table[at] = 0
                at -= 1

    def _prepare(self, new: int) -> _Call:
        """Pages for the call, and where its vectors lie in them."""
        self.reserve(new)
        heads, rows, keys = self.pages.shape.kv_heads, len(self.tables), max(self.starts) + new
        wide = -(-keys // PAGE)
        tables = np.zeros((rows, wide), np.int64)
        for row, table in enumerate(self.tables):
            tables[row, : len(table)] = table[:wide]
        head = np.arange(heads)
        runs = tables[:, None] * heads + head[:, None]  # (B, G, pages of the longest row)
        at = np.asarray(self.starts)[:, None] + np.arange(new)  # (B, T)
        page = tables[np.arange(rows)[:, None], at // PAGE]
        places = (page[:, None] * heads + head[:, None]) * PAGE + (at % PAGE)[:, None]  # (B, G, T)
        device = self.pages.device
        return _Call(
            new=new,
            places=torch.from_numpy(places.reshape(-1)).to(device),
            runs=torch.from_numpy(runs.reshape(-1)).to(device),
            keys=keys,
        )


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros; on the CPU such that the kernel hands out memory when it is written, not now."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # In large pages one token would take 2 MiB of every layer.
    return untouched(math.prod(shape) * dtype.itemsize, large=False).view(dtype).view(shape)
