"""What a process of a parallel plan holds and sends, counted for the way `fourfold.training.parallel` works.

A collective over n processes is counted as a ring does it: to sum B bytes each sends 2 B (n - 1) / n, to gather or to
sum and split them half of that. The few numbers that all exchange in a step (counts, losses, norms) are left out.

Letters: B rows and T tokens of a micro-batch in one process, D hidden size, N processes with the same weights, V words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

import torch

from fourfold.errors import UserError
from fourfold.models import Config, TransformerConfig, TransformerLM, make_module
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
    product_bytes: int = NUMBER
    """Of a number that leaves a product: 2 where products are computed in bf16."""

    def __post_init__(self) -> None:
        self.plan.check_model(self.config)
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
    if isinstance(shared.config, TransformerConfig):
        if plan.tensor > 1:
            sent["tensor"] = plan.pieces * _tensor_bytes(shared, shared.config)
        if plan.pipeline > 1:
            sent["pipeline"] = _pipeline_bytes(shared, shared.config)
        if plan.context > 1:
            sent["context"] = plan.pieces * _context_bytes(shared, shared.config)
    return {name: size for name, size in sent.items() if size}


def held(shared: Shared) -> dict[str, float]:
    """Bytes of weights, gradients and AdamW's moments in a process; `gathered` is there for a part of the step.

    Shards are as large as the largest: a tensor of fewer rows than processes takes a row in some and none in others.
    """
    parts = list(_parts(shared))
    whole = NUMBER * sum(part.local for part in parts)
    if shared.plan.shard == "none":
        return {"weights": whole, "gradients": whole, "optimizer": 2 * whole, "gathered": 0.0}
    piece = NUMBER * sum(part.padded(shared.plan.replicas) for part in parts) / shared.plan.replicas
    gathered = 2.0 * whole  # weights, and gradients until they are summed and split
    if shared.plan.shard == "zero3" and shared.plan.pipeline == 1:
        sizes: dict[str, float] = {}
        for part in parts:
            sizes[part.unit] = sizes.get(part.unit, 0) + NUMBER * part.local
        root = sizes.pop("", 0.0)
        gathered = 2 * (root + max(sizes.values(), default=0.0))
    return {"weights": piece, "gradients": piece, "optimizer": 2 * piece, "gathered": gathered}


@dataclass(frozen=True)
class _Part:
    """A parameter as the processes of one stage have it."""

    unit: str
    """The layer it is gathered with; empty: what is gathered once."""
    shape: tuple[int, ...]
    """After splitting matrices."""

    @property
    def local(self) -> int:
        return prod(self.shape)

    def padded(self, replicas: int) -> int:
        """Numbers that move when it is gathered: the first dimension made divisible."""
        first, *rest = self.shape
        return ceil(first / replicas) * replicas * prod(rest)


def _parts(shared: Shared) -> Iterator[_Part]:
    from fourfold.training.parallel import keep_stage

    with torch.device("meta"):
        model = make_module(shared.config)
        if shared.plan.pipeline > 1:
            assert isinstance(model, TransformerLM)
            keep_stage(model, shared.stage, shared.plan.pipeline)
    for name, parameter in model.named_parameters():
        shape = list(parameter.shape)
        dimension = 0 if name.endswith(BY_ROWS) else 1 if name.endswith(BY_COLUMNS) else None
        if dimension is not None and shared.plan.tensor > 1:
            shape[dimension] = ceil(shape[dimension] / shared.plan.tensor)
        layer = name.split("layers.")[1].split(".")[0] if "layers." in name else ""
        side = name.split("layers.")[0] if layer else ""
        is_stack = "stack.layers." in name or "coder." in name
        yield _Part(f"{side}{layer}" if is_stack else "", tuple(shape))


def _replica_bytes(shared: Shared) -> float:
    plan, parts = shared.plan, list(_parts(shared))
    share = (plan.replicas - 1) / plan.replicas
    if plan.shard == "none":
        return 2 * share * NUMBER * sum(part.local for part in parts)
    root = NUMBER * sum(part.padded(plan.replicas) for part in parts if not part.unit)
    layers = NUMBER * sum(part.padded(plan.replicas) for part in parts if part.unit)
    alone = plan.pipeline == 1
    sums = plan.pieces if alone and plan.shard != "zero1" else 1
    gathers = _gathers(shared) if plan.shard == "zero3" else 1
    again = plan.pieces if alone and plan.shard == "zero3" else 1
    return share * (sums * (root + layers) + gathers * layers + again * root)


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


def _tensor_bytes(shared: Shared, config: TransformerConfig) -> float:
    """Two sums a branch and micro-batch: of what leaves it, and of the gradient where it is entered."""
    if config.feed_forward.experts is not None:
        raise UserError("what experts send under 'tensor' depends on the text, and is not counted")
    stream = shared.tokens * config.hidden_size
    layers = len(_own_layers(shared, config))
    summed = layers * 2 * (shared.product_bytes + NUMBER) * stream
    if shared.stage == 0:
        summed += NUMBER * stream  # each word's row comes from one process
    if shared.last:
        summed += NUMBER * (stream + 3 * shared.tokens)  # of each position the largest score, the sum, the label's
    return 2 * (shared.plan.tensor - 1) / shared.plan.tensor * summed


def _pipeline_bytes(shared: Shared, config: TransformerConfig) -> float:
    plan = shared.plan
    stream = NUMBER * shared.tokens * config.hidden_size * plan.pieces
    sent = stream * ((not shared.last) + (shared.stage > 0))
    if config.tied_embeddings and (shared.last or shared.stage == 0):
        words = ceil(config.vocabulary_size / plan.tensor)
        words = words if plan.shard == "none" else ceil(words / plan.replicas)
        sent += NUMBER * words * config.embedding_size  # two processes add their gradients of one table
    return float(sent)


def _context_bytes(shared: Shared, config: TransformerConfig) -> float:
    """Keys and values of all stretches are gathered, their gradients summed and split."""
    own = 2 * shared.tokens * config.kv_heads // shared.plan.tensor * config.head_size * shared.product_bytes
    return 2.0 * len(_own_layers(shared, config)) * (shared.plan.context - 1) * own


def _own_layers(shared: Shared, config: TransformerConfig) -> range:
    from fourfold.training.parallel import layers_of_stage

    return layers_of_stage(config.layers, shared.stage, shared.plan.pipeline)
