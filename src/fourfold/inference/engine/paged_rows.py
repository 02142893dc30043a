"""Rows of a transformer in pages: shared beginnings, room on demand, preemption (`Memory`)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import final

import torch
from torch import nn
from torch.nn import functional as F

from fourfold.inference.engine.prefixes import Node, PrefixTree
from fourfold.inference.engine.request import EngineLimits
from fourfold.inference.engine.row import Row
from fourfold.inference.engine.swapping import Swapped
from fourfold.models import CausalLM, EncoderDecoder, Linear, State, TransformerLM
from fourfold.models.transformer import (
    PAGE,
    DynamicNTKScaling,
    EncoderDecoderState,
    PagedCache,
    Pages,
    Rotary,
    Source,
    Transformer,
)

STRIDE = 128
"""Tokens of a chunk where numbers may not depend on the batch: chunks begin at its multiples, whatever is known."""


@final
class PagedRows:
    """Tables of pages in one store; the prefix tree keeps what may be of use again."""

    def __init__(self, model: CausalLM, stack: Transformer, store: Pages, limits: EngineLimits) -> None:
        self.model, self.store, self.limits = model, store, limits
        self.tree = PrefixTree(store)
        positions = stack.config.positions
        stretched = isinstance(positions, Rotary) and isinstance(positions.scaling, DynamicNTKScaling)
        # Angles that depend on the longest row of a call would depend on company and pieces.
        self.divisible = not stretched
        self.together = not (stretched or limits.batch_invariant)
        self._compiled = self._adapted = False
        self._look_at_model()
        self._sharing = limits.share_prefixes and not stretched and not isinstance(model, EncoderDecoder)
        self._joined: tuple[list[Row], Source] | None = None

    def why_never(self, row: Row) -> str | None:
        needed = -(-row.longest // PAGE)
        if needed <= self.store.count:
            return None
        held = self.store.count * PAGE
        return f"the request could grow to {row.longest} tokens, but there is memory for the keys and values of {held}"

    def holds(self, dtype: torch.dtype) -> bool:
        return self.store.numbers == dtype

    def exact(self, row: Row) -> bool:
        gates = row.request.adapters
        without = not self._adapted if gates is None else self._adapted and not any(gates)
        return self._compiled and without and not row.request.whole

    def begin(self, row: Row, beside: Sequence[Row]) -> bool:
        spare = sum(max(1, -(-other.prompt // PAGE) - len(other.table)) for other in beside)
        nodes = self._known(row)
        row.table = [node.page for node in nodes]
        self.store.share(row.table)
        read = len(nodes) * PAGE
        if not self._ensure(-(-len(row.ids) // PAGE) - len(nodes) + spare):
            self.store.release(row.table)
            row.table = []
            return False
        row.read, row.kept = read, len(nodes)
        row.node = nodes[-1] if nodes else None
        return True

    def shared(self, row: Row, other: Row) -> int:
        if not (self._shares(row) and self._shares(other)) or _kind(row) != _kind(other):
            return 0
        most = min(row.prompt - 1, other.prompt) // PAGE * PAGE
        if not most:
            return 0
        most = next((at for at in range(0, most, PAGE) if row.ids[at : at + PAGE] != other.ids[at : at + PAGE]), most)
        return self._aligned(row, most) - len(self._known(row)) * PAGE

    def reserve(self, row: Row, new: int) -> bool:
        at = row.read // PAGE
        if new == 1 and at < len(row.table) and self.store.readers[row.table[at]] == 1:
            return True  # the place is there: the usual case
        cache = PagedCache(self.store, [row.table], [row.read])
        if not self._ensure(cache.missing(new)):
            return False
        cache.reserve(new)
        return True

    def state(self, rows: Sequence[Row], new: int) -> State | None:
        cache = PagedCache(self.store, [row.table for row in rows], [row.read for row in rows])
        if len(rows) > 1 and not self._ensure(cache.missing(new)):
            return None
        if not isinstance(self.model, EncoderDecoder):
            return cache
        if len(rows) > 1 and not all(row.source and row.source.kept for row in rows):
            return None  # the first call of a row reads its source and makes its keys and values, of its own length
        if rows[0].source is None:
            rows[0].source = self._source(self.model, rows[0])
        return EncoderDecoderState(self._sources(rows), cache)

    def settle(self, row: Row) -> None:
        alike = row.read if self._may_be_divided(row) else min(row.read, self._aligned(row, row.prompt))
        full = alike // PAGE
        if full <= row.kept or not self._shares(row):
            return
        node = row.node or self.tree.root(_kind(row))
        for at in range(row.kept, full):
            page = row.table[at]
            if not page:
                return  # a window has left it behind
            node = self.tree.add(node, row.ids[at * PAGE : (at + 1) * PAGE], page)
            if node.page != page:  # somebody has read the same meanwhile: one page is enough
                self.store.share([node.page])
                self.store.release([page])
                row.table[at] = node.page
                row.running.batch_invariant &= self.limits.batch_invariant or self.exact(row)
            row.node, row.kept = node, at + 1

    def branch(self, row: Row, other: Row) -> None:
        self.store.share(other.table)
        row.table = list(other.table)
        row.read, row.node, row.kept = other.read, other.node, other.kept
        row.source = other.source

    def swap_out(self, row: Row) -> None:
        row.swapped = Swapped(self.store, row.table)
        self.store.release(row.table)
        row.table.clear()

    def swap_in(self, row: Row, spare: int) -> bool:
        assert row.swapped is not None
        if not self._ensure(row.swapped.needed + spare):
            return False
        row.table, row.swapped = row.swapped.restore(self.store), None
        row.node, row.kept = None, row.longest  # its place in the tree may be gone
        return True

    def release(self, row: Row, *, spoilt: bool = False) -> None:
        if row.swapped is not None:
            row.swapped.close()
        table, row.table, node = row.table, [], row.node
        row.source, row.node, self._joined = None, None, None
        self.store.release(table)
        if not spoilt:
            return
        while node and node.parent and not node.children and self.store.readers[node.page] == 1:
            self.tree.remove(node)
            node = node.parent
        self.store.scrub([page for page in table if page and not self.store.readers[page]])

    def forget(self) -> None:
        self.tree.clear()
        self._look_at_model()

    def pages(self) -> tuple[int, int, int]:
        cached, free = self.tree.idle, self.store.free
        return self.store.count - free - cached, free, cached

    # ---- inside

    def _look_at_model(self) -> None:
        model = self.model
        self._compiled = isinstance(model, TransformerLM) and model.batch_invariant
        self._adapted = isinstance(model, nn.Module) and any(
            isinstance(layer, Linear) and layer.deltas for layer in model.modules()
        )

    def _ensure(self, wanted: int) -> bool:
        """So many free pages, at the cost of what is only kept for later."""
        if wanted > self.store.free:
            self.tree.evict(wanted - self.store.free)
        return wanted <= self.store.free

    def _shares(self, row: Row) -> bool:
        return self._sharing and not row.request.whole

    def _known(self, row: Row) -> list[Node]:
        """The nodes of its prompt that need not be read; its last token always is."""
        if not self._shares(row):
            return []
        nodes = self.tree.match(_kind(row), row.ids[: len(row.ids) - 1])
        return nodes[: self._aligned(row, len(nodes) * PAGE) // PAGE]

    def _may_be_divided(self, row: Row) -> bool:
        """Whether nothing is lost where its pieces end anywhere."""
        return self.exact(row) or not self.limits.batch_invariant

    def _aligned(self, row: Row, tokens: int) -> int:
        return tokens if self._may_be_divided(row) else tokens // STRIDE * STRIDE

    def _source(self, model: EncoderDecoder, row: Row) -> Source:
        ids = row.request.source if row.request.source is not None else model.config.empty_source
        return model.read(torch.tensor([list(ids)], device=self.store.device), keep=True)

    def _sources(self, rows: Sequence[Row]) -> Source:
        """One source for all rows; kept while the rows stay the same."""
        first = rows[0].source
        assert first is not None
        if len(rows) == 1:
            return first
        if self._joined is None or self._joined[0] != list(rows):
            self._joined = list(rows), join_sources([row.source for row in rows if row.source is not None])
        return self._joined[1]


def join_sources(sources: Sequence[Source]) -> Source:
    """(B, …) from sources of one row each whose keys and values are made, filled up to the longest."""
    sizes = [source.hidden.shape[1] for source in sources]
    most, device = max(sizes), sources[0].hidden.device
    mask = None
    if min(sizes) < most:
        mask = (torch.arange(most, device=device) < torch.tensor(sizes, device=device)[:, None])[:, None, None]
    kept = {
        layer: tuple(
            torch.cat([F.pad((s.kept or {})[layer][which], (0, 0, 0, most - s.hidden.shape[1])) for s in sources])
            for which in (0, 1)
        )
        for layer in sources[0].kept or {}
    }
    hidden = torch.cat([F.pad(source.hidden, (0, 0, 0, most - source.hidden.shape[1])) for source in sources])
    return Source(hidden=hidden, mask=mask, kept={layer: (pair[0], pair[1]) for layer, pair in kept.items()})


def _kind(row: Row) -> Hashable:
    """Rows of different kinds have different keys and values for the same tokens."""
    return None if row.request.adapters is None else tuple(row.request.adapters)
