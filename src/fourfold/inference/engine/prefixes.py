"""The beginnings of texts whose keys and values are known: a tree of pages.

A node is a full page; the way to it from its root spells the tokens of the text up to the page's end. The tree is a
reader of its pages like any row, so a page in it outlives the request that filled it. What nobody else reads can be
given back, the longest unused first and the ends of texts before their beginnings.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import final

from fourfold.models.transformer import PAGE, Pages

Piece = tuple[int, ...]


@dataclass(eq=False)
class Node:
    """One page and what was seen after it; a root has no page."""

    page: int
    parent: Node | None
    piece: Piece = ()
    used: int = 0
    """When it was last of use, in the tree's own time."""
    children: dict[Piece, Node] = field(default_factory=dict)


@final
class PrefixTree:
    """Pages by the tokens they hold. Texts under other adapters have a root of their own (`kind`)."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self._roots: dict[Hashable, Node] = {}
        self._time = 0

    def root(self, kind: Hashable) -> Node:
        return self._roots.setdefault(kind, Node(0, None))

    def match(self, kind: Hashable, ids: Sequence[int]) -> list[Node]:
        """The nodes of the longest known beginning of `ids`, page after page."""
        self._time += 1
        node, found = self._roots.get(kind), []
        for at in range(0, len(ids) - PAGE + 1, PAGE):
            node = node and node.children.get(tuple(ids[at : at + PAGE]))
            if node is None:
                break
            node.used = self._time
            found.append(node)
        return found

    def add(self, node: Node, ids: Sequence[int], page: int) -> Node:
        """The node of the page after `node`, which holds `ids`; the tree becomes a reader of it, if it is new."""
        piece = tuple(ids)
        known = node.children.get(piece)
        if known is None:
            known = node.children[piece] = Node(page, node, piece)
            self.pages.share([page])
        known.used = self._time
        return known

    def evict(self, wanted: int) -> None:
        """Give back at least so many pages, if so many are read by nobody else."""
        while wanted > 0:
            idle = [n for n in self._nodes() if not n.children and self.pages.readers[n.page] == 1]
            if not idle:
                return
            idle.sort(key=lambda node: node.used)
            for node in idle[:wanted]:
                self.remove(node)
                wanted -= 1

    def remove(self, node: Node) -> None:
        """Take a node without children out."""
        assert node.parent is not None
        assert not node.children
        del node.parent.children[node.piece]
        self.pages.release([node.page])

    def clear(self) -> None:
        """Forget everything: the model has changed."""
        for node in list(self._nodes()):
            self.pages.release([node.page])
            node.children.clear()
        self._roots.clear()

    @property
    def idle(self) -> int:
        """Pages that only the tree reads."""
        return sum(self.pages.readers[node.page] == 1 for node in self._nodes())

    def _nodes(self) -> Iterator[Node]:
        stack = [child for root in self._roots.values() for child in root.children.values()]
        while stack:
            node = stack.pop()
            stack += node.children.values()
            yield node
