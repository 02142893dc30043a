"""The modules of a model as a tree: shapes, types and parameters, equal layers told once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import nn

from fourfold.models.packed import Packed
from fourfold.models.registry import Config, make_module
from fourfold.models.transformer import EncoderDecoderConfig, TransformerConfig


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A tensor of a module."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    shared: bool = False
    """Another name of a tensor told before, which is counted there."""

    @property
    def size(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return 0 if self.shared else size


@dataclass(frozen=True, kw_only=True)
class Node:
    """A module; `times` equal ones in a row are one node."""

    name: str
    kind: str
    weights: tuple[Weight, ...]
    children: tuple[Node, ...]
    times: int = 1

    @property
    def parameters(self) -> int:
        """Of all of them."""
        own = sum(weight.size for weight in self.weights)
        return self.times * (own + sum(child.parameters for child in self.children))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A node as a line of a table."""

    depth: int
    path: str
    times: int
    kind: str
    shapes: dict[str, tuple[int, ...]]
    dtype: str
    parameters: int


def tree_of(module: nn.Module, name: str = "model") -> Node:
    """The tree of a module; parameterless leaves are left out."""
    return _node(module, name, set())


def tree_of_config(config: Config, dtype: str = "no weights") -> Node:
    """The tree a configuration makes, without weights: one layer is built on the meta device, told `layers` times."""
    single: Config
    if isinstance(config, EncoderDecoderConfig):
        single = replace(config, encoder=replace(config.encoder, layers=1), decoder=replace(config.decoder, layers=1))
        layers = {"encoder": config.encoder.layers, "decoder": config.decoder.layers}
    elif isinstance(config, TransformerConfig):
        single, layers = replace(config, layers=1), {"stack": config.layers}
    else:
        single, layers = config, {}
    with torch.device("meta"):
        tree = tree_of(make_module(single))
    return _retyped(
        replace(tree, children=tuple(_repeated(node, layers.get(node.name, 1)) for node in tree.children)), dtype
    )


def rows(tree: Node) -> Iterator[Row]:
    """The tree line by line, the root first."""
    yield from _rows(tree, 0, "")


def _rows(node: Node, depth: int, above: str) -> Iterator[Row]:
    path = f"{above}.{node.name}" if above else ("" if depth == 0 else node.name)
    yield Row(
        depth=depth,
        path=path,
        times=node.times,
        kind=node.kind,
        shapes={weight.name: weight.shape for weight in node.weights},
        dtype=", ".join(dict.fromkeys(_dtype(weight) for weight in node.weights)),
        parameters=node.parameters,
    )
    for child in node.children:
        yield from _rows(child, depth + 1, path)


def _dtype(weight: Weight) -> str:
    return f"{weight.dtype}, counted above" if weight.shared else weight.dtype


def _node(module: nn.Module, name: str, told: set[int]) -> Node:
    packed = [_packed(child) for child in module.children() if isinstance(child, Packed)]
    plain = [_weight(key, value, told) for key, value in module.named_parameters(recurse=False)]
    weights = (*packed, *plain)
    named = [_node(child, key, told) for key, child in module.named_children() if not isinstance(child, Packed)]
    found = [node for node in named if node.weights or node.children]
    children = _gathered(found) if isinstance(module, nn.ModuleList) else tuple(found)
    return Node(name=name, kind=type(module).__name__, weights=weights, children=children)


def _weight(name: str, parameter: nn.Parameter, told: set[int]) -> Weight:
    shared = id(parameter) in told
    told.add(id(parameter))
    dtype = str(parameter.dtype).removeprefix("torch.")
    return Weight(name=name, shape=tuple(parameter.shape), dtype=dtype, shared=shared)


def _packed(packed: Packed) -> Weight:
    """The matrix that stands there in few bits a value."""
    matrix = packed.matrix
    return Weight(name="weight", shape=(matrix.rows, matrix.columns), dtype=f"{matrix.bits} bits")


def _gathered(nodes: list[Node]) -> tuple[Node, ...]:
    """Runs of equal nodes as one."""
    gathered = []
    for _, group in groupby(nodes, key=lambda node: replace(node, name="")):
        run = list(group)
        name = run[0].name if len(run) == 1 else f"{run[0].name}–{run[-1].name}"
        gathered.append(replace(run[0], name=name, times=len(run)))
    return tuple(gathered)


def _repeated(stack: Node, layers: int) -> Node:
    """The stack with its one layer told so many times."""
    if layers == 1:
        return stack
    children = tuple(
        replace(node, children=(replace(node.children[0], name=f"0–{layers - 1}", times=layers),))
        if node.name == "layers"
        else node
        for node in stack.children
    )
    return replace(stack, children=children)


def _retyped(node: Node, dtype: str) -> Node:
    weights = tuple(replace(weight, dtype=dtype) for weight in node.weights)
    return replace(node, weights=weights, children=tuple(_retyped(child, dtype) for child in node.children))
