"""What a process of a parallel plan holds and sends, counted for the way `fourfold.training.parallel` works.

The only place where it is counted: a test compares it with what goes into the collectives of real steps, and
`fourfold plan` takes its figures from here.

A collective over n processes is counted as a ring does it: to sum B bytes each sends 2 B (n - 1) / n, to gather or to
sum and split them half of that. The few numbers that all exchange in a step (counts, losses, norms) are left out.

Letters: B rows and T tokens of a micro-batch in one process, D hidden size, N processes with the same weights, V words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod
from typing import NamedTuple

import torch

from fourfold.errors import UserError
from fourfold.models import Config, Recurrent, TransformerConfig, make_module
from fourfold.models.inspection import stacks
from fourfold.training import ParallelPlan

NUMBER = 4
"""Bytes of a weight, a gradient and a number of the stream between layers: fp32."""
BY_ROWS = ("query.weight", "key.weight", "value.weight", "gate.weight", "up.weight", "query.bias", "key.bias",
           "value.bias", "gate.bias", "up.bias", "stack.embedding.weight", "head.projection.weight")  # fmt: skip
BY_COLUMNS = ("output.weight", "down.weight")


@dataclass(frozen=True, kw_only=True)
class Shared:
    """One training step under a plan, as a process of one stage of the pipeline sees it."""

    plan: ParallelPlan
    config: Config
    rows: int
    """Of a step, all processes together."""
    length: int
    """Tokens of a row."""
    stage: int = 0
    recompute: bool = False
    """Whether a layer keeps only its input, and is computed again in the backward pass."""
    product_bytes: int = NUMBER
    """Of a number that leaves a product: 2 where products are computed in bf16."""
    stream_bytes: int = NUMBER
    """Of a number that goes from layer to layer."""
    weight_bytes: int = NUMBER
    """Of a weight that is gathered. Trainings by other programs that we plan send 2 here and above."""

    def __post_init__(self) -> None:
        self.plan.check_batch(self.rows, self.length)
        if not 0 <= self.stage < self.plan.pipeline:
            raise UserError("there is no such stage", expected=f"0 to {self.plan.pipeline - 1}", got=self.stage)

    @property
    def last(self) -> bool:
        return self.stage == self.plan.pipeline - 1

    @property
    def tokens(self) -> int:
        """B T."""
        return self.rows // (self.plan.data * self.plan.pieces) * (self.length // self.plan.context)


def communication(shared: Shared) -> dict[str, float]:
    """Bytes a process sends in a step, by dimension of the grid; every position has a label, as in pre-training."""
    plan, sent = shared.plan, dict.fromkeys(("data", "tensor", "pipeline", "context"), 0.0)
    if plan.replicas > 1:
        sent["data"] = _replica_bytes(shared)
    if not isinstance(shared.config, Recurrent):
        stack = stacks(shared.config)[-1]
        if plan.tensor > 1:
            sent["tensor"] = plan.pieces * _tensor_bytes(shared, stack)
        if plan.pipeline > 1:
            sent["pipeline"] = _pipeline_bytes(shared, stack)
        if plan.context > 1:
            sent["context"] = plan.pieces * _context_bytes(shared, stack)
    return {name: size for name, size in sent.items() if size}


def held(shared: Shared) -> dict[str, float]:
    """Bytes of weights, gradients and AdamW's moments in a process; `gathered` is there for a part of the step.

    Shards are as large as the largest: a tensor of fewer rows than processes takes a row in some and none in others.
    """
    here = weights_here(shared)
    whole = float(NUMBER * here.whole)
    if shared.plan.shard == "none":
        return {"weights": whole, "gradients": whole, "optimizer": 2 * whole, "gathered": 0.0}
    piece = NUMBER * here.padded / shared.plan.replicas
    once = here.whole  # weights, and gradients until they are summed and split
    if shared.plan.shard == "zero3" and shared.plan.pipeline == 1:
        once = here.root + here.largest_layer
    gathered = float((shared.weight_bytes + NUMBER) * once)
    return {"weights": piece, "gradients": piece, "optimizer": 2 * piece, "gathered": gathered}


class Weights(NamedTuple):
    """Numbers of the parameters of a process, before replicas split them."""

    root: int
    """Outside the layers: gathered once."""
    layers: int
    largest_layer: int
    root_padded: int
    """Those that move when it is gathered: first dimensions made divisible by the replicas."""
    layers_padded: int

    @property
    def whole(self) -> int:
        return self.root + self.layers

    @property
    def padded(self) -> int:
        return self.root_padded + self.layers_padded


def weights_here(shared: Shared) -> Weights:
    """How many weights a process of this stage has."""
    plan = shared.plan
    return _weights_here(shared.config, plan.tensor, plan.replicas, shared.stage, plan.pipeline)


@lru_cache(maxsize=4096)
def _weights_here(config: Config, tensor: int, replicas: int, stage: int, stages: int) -> Weights:
    from fourfold.training.parallel import stays_in_stage

    layers: dict[str, list[int]] = {}
    root, root_padded = 0, 0
    for name, whole in _shapes(config):
        if not stays_in_stage(name, config, stage, stages):
            continue
        first, *rest = shape = _split(name, whole, tensor)
        size, padded = prod(shape), ceil(first / replicas) * replicas * prod(rest)
        if (layer := _layer_of(name)) is None:
            root, root_padded = root + size, root_padded + padded
        else:
            sums = layers.setdefault(layer, [0, 0])
            sums[0] += size
            sums[1] += padded
    sizes = [size for size, _ in layers.values()]
    return Weights(root, sum(sizes), max(sizes, default=0), root_padded, sum(padded for _, padded in layers.values()))


@lru_cache(maxsize=8)
def _shapes(config: Config) -> list[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):
        model = make_module(config)
    return [(name, tuple(parameter.shape)) for name, parameter in model.named_parameters()]


def _split(name: str, shape: tuple[int, ...], tensor: int) -> list[int]:
    """The shape after splitting matrices."""
    dimension = 0 if name.endswith(BY_ROWS) else 1 if name.endswith(BY_COLUMNS) else None
    return [ceil(size / tensor) if place == dimension else size for place, size in enumerate(shape)]


def _layer_of(name: str) -> str | None:
    """The layer a parameter is gathered with."""
    before, found, after = name.partition("layers.")
    return f"{before}{after.split('.')[0]}" if found and before.endswith(("stack.", "coder.")) else None


def _replica_bytes(shared: Shared) -> float:
    plan, here = shared.plan, weights_here(shared)
    share = (plan.replicas - 1) / plan.replicas
    if plan.shard == "none":
        return 2 * share * NUMBER * here.whole
    alone = plan.pipeline == 1
    sums = plan.pieces if alone and plan.shard != "zero1" else 1
    gathers = _gathers(shared) if plan.shard == "zero3" else 1
    again = plan.pieces if alone and plan.shard == "zero3" else 1
    gathered = gathers * here.layers_padded + again * here.root_padded
    return share * (sums * NUMBER * here.padded + shared.weight_bytes * gathered)


def _gathers(shared: Shared) -> int:
    """How often ZeRO-3 gathers a layer: a forward pass lets it go, and in a pipeline a backward pass keeps it."""
    plan = shared.plan
    if plan.pipeline == 1:
        return 2 * plan.pieces
    ahead = plan.pieces if plan.schedule == "gpipe" else min(plan.pieces, plan.pipeline - shared.stage)
    turns = "f" * ahead + "bf" * (plan.pieces - ahead) + "b" * ahead
    count, there = 0, False
    for turn in turns:
        count += not there
        there = turn == "b"
    return count


def _tensor_bytes(shared: Shared, stack: TransformerConfig) -> float:
    """Two sums a branch and micro-batch: of what leaves it, and of the gradient where it is entered."""
    if stack.feed_forward.experts is not None:
        raise UserError("what experts send under 'tensor' depends on the text, and is not counted")
    stream = shared.tokens * stack.hidden_size
    branches = 1 if stack.residual != "serial" else 3 if stack.cross_attention else 2
    again = branches - 1 if shared.recompute else 0  # torch stops once all that was dropped is there again
    a_layer = (branches + again) * shared.product_bytes + branches * shared.stream_bytes
    summed = len(_own_layers(shared)) * a_layer * stream
    if shared.stage == 0:
        summed += shared.stream_bytes * stream  # each word's row comes from one process
    if shared.last:  # of each position the largest score, the sum, the label's
        summed += shared.stream_bytes * stream + NUMBER * 3 * shared.tokens
    return 2 * (shared.plan.tensor - 1) / shared.plan.tensor * summed


def _pipeline_bytes(shared: Shared, stack: TransformerConfig) -> float:
    plan = shared.plan
    stream = shared.stream_bytes * shared.tokens * stack.hidden_size * plan.pieces
    sent = stream * ((not shared.last) + (shared.stage > 0))
    if stack.tied_embeddings and (shared.last or shared.stage == 0):
        words = ceil(stack.vocabulary_size / plan.tensor)
        words = words if plan.shard == "none" else ceil(words / plan.replicas)
        sent += NUMBER * words * stack.embedding_size  # two processes add their gradients of one table
    return float(sent)


def _context_bytes(shared: Shared, stack: TransformerConfig) -> float:
    """Keys and values of all stretches are gathered, once more where layers are computed again; their gradients are
    summed and split."""
    own = 2 * shared.tokens * stack.kv_heads // shared.plan.tensor * stack.head_size * shared.product_bytes
    return (2.0 + shared.recompute) * len(_own_layers(shared)) * (shared.plan.context - 1) * own


def _own_layers(shared: Shared) -> range:
    from fourfold.training.parallel import layers_of_stage

    assert not isinstance(shared.config, Recurrent)
    layers = sum(stack.layers for stack in stacks(shared.config))
    return layers_of_stage(layers, shared.stage, shared.plan.pipeline)
