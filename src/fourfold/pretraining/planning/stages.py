"""What one device of a parallel training holds: the stages of a pipeline, and memory by part.

Letter: P weights on a device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from fourfold.errors import UserError
from fourfold.models import Config, Recurrent, TransformerConfig
from fourfold.models.inspection import count, forward_flops_by_operator, stacks
from fourfold.pretraining.planning.cluster import RUNTIME_BYTES, Cluster
from fourfold.pretraining.planning.job import Job
from fourfold.pretraining.planning.memory import Kept, kept_by_layer
from fourfold.pretraining.planning.parallel import in_words
from fourfold.pretraining.planning.states import optimizer_bytes
from fourfold.pretraining.planning.traffic import Shared, communication, held, weights_here
from fourfold.training import ParallelPlan, rows_at_once

WORKING, FULL = 2, 4
"""Bytes of a weight as products read it, and of a weight, or gradient, as the optimizer does."""


class Stage(NamedTuple):
    """One stage of a pipeline, on one rank of its tensor-parallel group."""

    number: int
    layers: int
    weights: int
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
    gathered: int = FULL
    """Bytes of a weight on its way to the devices that need it: ours travel in fp32, those of Megatron in 16 bits."""
    accumulated: int = 0
    """Bytes a weight of a buffer of its own for sums of gradients, which ranks do not share: DeepSpeed's for bf16."""

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
        if plan.tensor > 1 and any(stack.feed_forward.experts is not None for stack in self.stacks):
            raise UserError("what experts send under 'tensor' depends on the text, and is not planned")

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
        """First, middle and last stage."""
        last = self.plan.pipeline - 1
        return [self._stage(index) for index in sorted({0, min(1, last), last})]

    def _stage(self, index: int) -> Stage:
        from fourfold.training.parallel import layers_of_stage

        layers = len(layers_of_stage(self.layers, index, self.plan.pipeline))
        waiting = max(1, min(self.plan.pipeline - index, self.micro_batches))
        weights = weights_here(self.part(index)).whole
        return Stage(index, layers, weights, waiting, index == self.plan.pipeline - 1)

    def part(self, stage: int) -> Shared:
        """One step as a device of a stage sees it: 16-bit products, everything else as wide as this setup says."""
        again = self.micro_batches
        return Shared(
            plan=replace(self.plan, micro_batches=again, schedule="1f1b" if again >= self.plan.pipeline else "gpipe"),
            config=self.job.config,
            rows=self.job.batch_size,
            length=self.job.row,
            stage=stage,
            recompute=self.job.recompute,
            product_bytes=WORKING,
            stream_bytes=self.stream,
            weight_bytes=self.gathered,
        )

    @cached_property
    def sent(self) -> list[dict[str, float]]:
        """Bytes a device of each of `stages` sends in a step, by axis of the plan."""
        return [communication(self.part(stage.number)) for stage in self.stages]

    @property
    def most_sent(self) -> dict[str, float]:
        """That of the busiest device."""
        return max(self.sent, key=lambda axes: sum(axes.values()))

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
        """Of a layer, with the keys and values of the other stretches of its rows."""
        stack = self.stacks[-1]
        others = (self.plan.context - 1) * 2 * WORKING * stack.kv_heads * stack.head_size
        return self.kept.whole + (self.kept.shared + others) / self.plan.tensor

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
    part = setup.part(stage.number)
    states = held(part)
    config = setup.job.config
    parts = {
        "weights": WORKING * _cast(setup, part),
        "fp32 weights": states["weights"],
        "gradients": states["gradients"],
        "optimizer": states["optimizer"] / (2 * FULL) * setup.state_bytes,
        "gathered": states["gathered"],
        "accumulated": setup.accumulated * stage.weights,
        "activations": _activations(setup, stage),
        "logits": 0.0,
        "runtime": RUNTIME_BYTES,
    }
    if stage.has_head:
        rows = min(setup.tokens, rows_at_once(config.vocabulary_size))
        parts["logits"] = 12.0 * rows * config.vocabulary_size / setup.plan.tensor
    return {name: round(size) for name, size in parts.items() if size}


def _cast(setup: Setup, part: Shared) -> int:
    """Weights that stand in 16 bits beside what is gathered: copies that the backward pass reads, so all of a stage,
    or those of one layer where layers are computed again; none where they are gathered in 16 bits."""
    here = weights_here(part)
    if setup.gathered == WORKING and setup.plan.shard != "none":
        return 0
    return here.root + here.largest_layer if setup.job.recompute and setup.gathered == FULL else here.whole


def _activations(setup: Setup, stage: Stage) -> float:
    if not setup.job.recompute:
        return stage.in_flight * stage.layers * setup.tokens * setup.kept_here
    width = setup.stacks[0].hidden_size
    inputs = stage.in_flight * stage.layers * setup.tokens * setup.stream * width
    return inputs + setup.tokens * setup.kept_here
