"""What optimizers remember of a configuration, in bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

from fourfold.errors import unknown_name
from fourfold.models import Config
from fourfold.models.inspection import tree_of_config
from fourfold.models.inspection.tree import Node

Shape = tuple[int, ...]
BLOCK, SMALLEST = 256, 4096
"""Of 8-bit states: numbers that share a scale, and the fewest that are packed."""


@lru_cache(maxsize=64)
def optimizer_bytes(config: Config, kind: str) -> int:
    """Bytes of the state of that optimizer for every weight of the configuration; a test weighs the real ones."""
    if kind not in STATES:
        raise unknown_name("optimizer", kind, STATES)
    weights = _weights(tree_of_config(config), 1)
    size = config.vocabulary_size
    return sum(times * STATES[kind](shape, table or shape[0] == size) for shape, table, times in weights)


def _weights(node: Node, times: int) -> Iterator[tuple[Shape, bool, int]]:
    """Shape of every weight, whether it is a table of vectors, and how often it is there."""
    times *= node.times
    yield from ((weight.shape, node.kind == "Embedding", times) for weight in node.weights if not weight.shared)
    for child in node.children:
        yield from _weights(child, times)


def _adamw(shape: Shape, table: bool) -> int:
    return 8 * math.prod(shape)


def _adamw_8bit(shape: Shape, table: bool) -> int:
    size = math.prod(shape)
    return 8 * size if size < SMALLEST else 2 * (size + 4 * math.ceil(size / BLOCK))


def _lion(shape: Shape, table: bool) -> int:
    return 4 * math.prod(shape)


def _muon(shape: Shape, table: bool) -> int:
    """One moment of the matrices between hidden layers, two of all else."""
    return (4 if len(shape) == 2 and not table else 8) * math.prod(shape)


def _adafactor(shape: Shape, table: bool) -> int:
    """A row and a column of a matrix."""
    return 4 * (math.prod(shape[:-1]) + math.prod((*shape[:-2], shape[-1])) if len(shape) > 1 else math.prod(shape))


STATES: dict[str, Callable[[Shape, bool], int]] = {
    "adamw": _adamw,
    "adamw-8bit": _adamw_8bit,
    "adafactor": _adafactor,
    "lion": _lion,
    "muon": _muon,
}
