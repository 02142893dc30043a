"""What one device of a parallel training holds and sends: stages of a pipeline, memory, communication.

Letters: D hidden size, L layers, P weights on a device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from fourfold.errors import UserError
from fourfold.models import Config, Recurrent, TransformerConfig
from fourfold.models.inspection import count, forward_flops_by_operator, parameters_by_part, stacks
from fourfold.pretraining.planning.cluster import RUNTIME_BYTES, Cluster
from fourfold.pretraining.planning.job import Job
from fourfold.pretraining.planning.memory import Kept, kept_by_layer
from fourfold.pretraining.planning.parallel import in_words
from fourfold.pretraining.planning.states import optimizer_bytes
from fourfold.training import ParallelPlan, rows_at_once

WORKING, FULL = 2, 4
"""Bytes of a weight as products read it, and of a weight, or gradient, as the optimizer does."""
AT_THE_START = ("embedding", "embedding projection", "positions", "segments")
AT_THE_END = ("head", "pooler", "task")


class Stage(NamedTuple):
    """One stage of a pipeline, on one rank of its tensor-parallel group."""

    layers: int
    weights: float
    """P."""
    in_flight: int
    """Micro-batches whose activations wait for their backward pass (Narayanan et al. 2021, section 2.2)."""
    has_head: bool


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One training on one cluster under one plan; `job.batch_size` rows a step over all devices."""

    job: Job
    cluster: Cluster
    plan: ParallelPlan
    micro_batch: int = 1
    """Rows a device reads at a time."""
    fused: bool = True
    """Attention whose scores never stand in memory, as ours; False: they do, as before 2022."""
    stream: int = FULL
    """Bytes of a number that goes from layer to layer."""

    def __post_init__(self) -> None:
        plan, job = self.plan, self.job
        if isinstance(job.config, Recurrent):
            raise UserError("a recurrent network is not planned on a cluster", expected="a transformer")
        if plan.world != self.cluster.count:
            raise UserError(
                "the plan does not use the devices there are", where="--parallel",
                expected=f"ranks that multiply to {self.cluster.count:,}", got=f"{in_words(plan)}: {plan.world:,}",
            )  # fmt: skip
        if job.batch_size % (plan.data * self.micro_batch):
            raise UserError(
                "the rows of a step do not divide by the mesh",
                expected=f"a multiple of data x micro-batch, {plan.data * self.micro_batch:,}",
                got=f"{job.batch_size:,} rows",
            )
        for name, ranks, size in (
            ("tensor", plan.tensor, self.stacks[0].attention.heads),
            ("pipeline", plan.pipeline, self.layers),
        ):
            if ranks > size or (name == "tensor" and size % ranks):
                raise UserError(f"'{name}' does not divide the model", expected=f"a divisor of {size}", got=ranks)

    @property
    def micro_batches(self) -> int:
        """Of a rank in a step."""
        return self.job.batch_size // (self.plan.data * self.micro_batch)

    @property
    def tokens(self) -> float:
        """Of a micro-batch on a device."""
        return self.micro_batch * self.job.row / self.plan.context

    @property
    def layers(self) -> int:
        return sum(stack.layers for stack in self.stacks)

    @property
    def stacks(self) -> tuple[TransformerConfig, ...]:
        assert not isinstance(self.job.config, Recurrent)  # refused above
        return stacks(self.job.config)

    @property
    def sharers(self) -> int:
        """Ranks with the same weights, among which sharding divides."""
        return self.plan.data * self.plan.context

    @cached_property
    def stages(self) -> list[Stage]:
        """First, middle and last stage; where layers do not divide, the ends, which have tables too, take fewer."""
        config, plan = self.job.config, self.plan
        assert not isinstance(config, Recurrent)
        parts = parameters_by_part(config)
        start, end = (sum(parts.get(name, 0) for name in names) for names in (AT_THE_START, AT_THE_END))
        layer = (sum(parts.values()) - start - end) / self.layers / plan.tensor
        if config.tied_embeddings and plan.pipeline > 1:
            end += parts["embedding"]  # the last stage multiplies with a copy of the table
        most = math.ceil(self.layers / plan.pipeline)
        spare = most * plan.pipeline - self.layers
        waiting = min(plan.pipeline, self.micro_batches)
        if plan.pipeline == 1:
            return [Stage(most, most * layer + (start + end) / plan.tensor, 1, True)]
        first, last = max(1, most - spare // 2), max(1, most - (spare + 1) // 2)
        middle = [Stage(most, most * layer, waiting - 1, False)] if plan.pipeline > 2 else []
        return [
            Stage(first, first * layer + start / plan.tensor, waiting, False),
            *middle,
            Stage(last, last * layer + end / plan.tensor, 1, True),
        ]

    @cached_property
    def kept(self) -> Kept:
        """Bytes a token leaves in a layer on a device, the mean over layers."""
        layers = kept_by_layer(self.job, cast=True, apart=True)
        stack = self.stacks[0]
        # Softmax and dropout of the scores, and which of them were dropped (Korthikanti et al. 2022, section 4.1).
        scores = 0.0 if self.fused else 5.0 * stack.attention.heads * self.job.row
        narrower = 2 * (FULL - self.stream) * stack.hidden_size
        whole = sum(layer.whole for layer in layers) / len(layers) - narrower
        return Kept(whole, sum(layer.shared for layer in layers) / len(layers) + scores)

    @property
    def kept_here(self) -> float:
        return self.kept.whole + self.kept.shared / self.plan.tensor

    @cached_property
    def state_bytes(self) -> float:
        """Of the optimizer, a weight."""
        return optimizer_bytes(self.job.config, self.job.optimizer) / count(self.job.config).total

    @property
    def layer_flops(self) -> float:
        """Forward operations a token costs in a layer, all ranks together."""
        whole, head = _forward(self.job.config, self.job.row)
        return (whole - head) / self.layers

    @property
    def head_flops(self) -> float:
        return _forward(self.job.config, self.job.row)[1]


@lru_cache(maxsize=64)
def _forward(config: Config, row: int) -> tuple[float, float]:
    """Operations of a forward pass a token, and those of the head among them."""
    operators = forward_flops_by_operator(config, row)
    return sum(operators.values()), operators.get("head", 0.0)


def device_memory(setup: Setup) -> dict[str, int]:
    """Bytes by part of the fullest device."""
    return max((_stage_memory(setup, stage) for stage in setup.stages), key=lambda parts: sum(parts.values()))


def _stage_memory(setup: Setup, stage: Stage) -> dict[str, int]:
    level = ("none", "zero1", "zero2", "zero3").index(setup.plan.shard)
    optimizer, gradients, working = (setup.sharers if level >= lowest else 1 for lowest in (1, 2, 3))
    config = setup.job.config
    layer = (setup.layer_flops / 2) / setup.plan.tensor  # about as many weights as half the operations
    parts = {
        "weights": WORKING * stage.weights / working,
        "fp32 weights": FULL * stage.weights / optimizer,
        "gradients": FULL * stage.weights / gradients,
        "optimizer": setup.state_bytes * stage.weights / optimizer,
        # Two layers' weights are there whole, the one in use and the next, and one's gradients.
        "gathered": (2 * WORKING + FULL) * layer if working > 1 else 0.0,
        "activations": _activations(setup, stage),
        "logits": 0.0,
        "runtime": RUNTIME_BYTES,
    }
    if stage.has_head:
        rows = min(setup.tokens, rows_at_once(config.vocabulary_size))
        parts["logits"] = 12.0 * rows * config.vocabulary_size / setup.plan.tensor
    return {name: round(size) for name, size in parts.items() if size}


def _activations(setup: Setup, stage: Stage) -> float:
    if not setup.job.recompute:
        return stage.in_flight * stage.layers * setup.tokens * setup.kept_here
    width = setup.stacks[0].hidden_size
    inputs = stage.in_flight * stage.layers * setup.tokens * setup.stream * width
    return inputs + setup.tokens * setup.kept_here


def bytes_sent(setup: Setup) -> dict[str, float]:
    """Bytes the busiest device sends in a step, by axis of the plan.

    A ring over n ranks sends (n - 1) / n of the bytes to gather or to reduce and scatter, twice that to reduce for all.
    """
    plan = setup.plan
    stage = max(setup.stages, key=lambda one: one.weights)
    width = setup.stacks[0].hidden_size
    hidden = setup.tokens * width * WORKING * setup.micro_batches
    sent = {
        "data": _data_bytes(setup, stage.weights),
        "tensor": stage.layers * sums_a_layer(setup) * 2 * _ring(plan.tensor) * hidden,
        "pipeline": 2 * hidden if plan.pipeline > 1 else 0.0,
        "context": stage.layers * _context_bytes(setup) * setup.micro_batches,
    }
    return {name: size for name, size in sent.items() if size}


def _ring(ranks: int) -> float:
    return (ranks - 1) / ranks


def _data_bytes(setup: Setup, weights: float) -> float:
    """Gradients go round in fp32, weights in 16 bits."""
    share, again = _ring(setup.sharers) * weights, setup.micro_batches
    match setup.plan.shard:
        case "none":
            return 2 * FULL * share
        case "zero1":
            return (FULL + WORKING) * share
        case "zero2":
            return (FULL * again + WORKING) * share
        case "zero3":
            return (FULL + 2 * WORKING) * again * share


def sums_a_layer(setup: Setup) -> int:
    """Sums over a tensor-parallel group, forward and backward: one a branch each (Shoeybi et al. 2019, section 3)."""
    stack = setup.stacks[-1]
    branches = 1 if stack.residual != "serial" else 3 if stack.cross_attention else 2
    return branches * (3 if setup.job.recompute else 2)


def _context_bytes(setup: Setup) -> float:
    """Keys and values go round forward, and with their gradients backward."""
    stack = setup.stacks[-1]
    pair = 2 * stack.kv_heads * stack.head_size * WORKING / setup.plan.tensor
    turns = (setup.plan.context - 1) * (4 if setup.job.recompute else 3)
    return pair * setup.tokens * turns
