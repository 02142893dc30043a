"""Seconds, energy and money of a parallel training, and the plan that takes least.

The two shares below were fitted to the ten runs of Narayanan et al. 2021, table 1; `docs/planning.md` shows how the
plan then agrees with those and with runs it was not fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fourfold.pretraining.planning.job import flops
from fourfold.pretraining.planning.stages import FULL, Setup, Stage

PRODUCT_SHARE = 0.67
"""Of the printed peak that products of a layer reach."""
TRAFFIC = 5.5
"""Bytes through memory for each byte that is kept: written, read on, read again backward, and its gradient likewise."""
OVERLAP = 0.8
"""Of the time of a backward pass in which gradients may be on their way."""
UPDATE_BYTES = 14
"""Read and written for a weight by an update, beside its gradient and twice the optimizer's state."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How long a setup takes; `given` replaces our estimate of the rate by a published share of the peak."""

    setup: Setup
    given: float | None = None
    """Share of the peak at which the model's own operations are done."""

    @cached_property
    def step(self) -> dict[str, float]:
        """Seconds of a step by what they go to; they add up to it."""
        setup = self.setup
        if self.given is not None:
            return {"at the given share of the peak": self._step_flops / (setup.cluster.peak * self.given)}
        stages = zip(setup.stages, setup.sent, strict=True)
        parts = max((_micro_batch(setup, *stage) for stage in stages), key=lambda one: sum(one.values()))
        each, again = sum(parts.values()), setup.micro_batches
        step = {name: again * seconds for name, seconds in parts.items()}
        step["bubble"] = (setup.plan.pipeline - 1) * each
        step["data"] = _exposed(setup, each)
        weights = max(stage.weights for stage in setup.stages)
        sharers = 1 if setup.plan.shard == "none" else setup.sharers
        update = weights / sharers * (FULL + UPDATE_BYTES + 2 * setup.state_bytes)
        step["update"] = update / setup.cluster.card.memory_bandwidth
        return {name: seconds for name, seconds in step.items() if seconds}

    @property
    def seconds(self) -> float:
        """Of the whole training."""
        job = self.setup.job
        return sum(self.step.values()) * job.tokens / (job.batch_size * job.row)

    @property
    def utilization(self) -> float:
        """MFU: share of the peak that goes into the model's own operations, those computed again not counted."""
        return self._step_flops / sum(self.step.values()) / self.setup.cluster.peak

    def joules(self, overhead: float) -> float:
        """At full power of every device, times what the building takes."""
        cluster = self.setup.cluster
        return cluster.count * cluster.card.power * self.seconds * overhead

    def cost(self, price: float) -> float:
        """At a price a device and hour."""
        return self.setup.cluster.count * self.seconds / 3600 * price

    @property
    def _step_flops(self) -> float:
        """Of a device, without those computed again."""
        job = self.setup.job
        operations = flops(job) * (0.75 if job.recompute else 1.0)
        return operations / job.tokens * job.batch_size * job.row / self.setup.cluster.count


def _micro_batch(setup: Setup, stage: Stage, sent: dict[str, float]) -> dict[str, float]:
    """Seconds of one micro-batch forward and backward on one stage."""
    card, plan = setup.cluster.card, setup.plan
    passes = 4 if setup.job.recompute else 3
    operations = setup.tokens / plan.tensor * stage.layers * setup.layer_flops * passes
    operations += setup.tokens / plan.tensor * setup.head_flops * 3 if stage.has_head else 0.0
    moved = setup.tokens * stage.layers * setup.kept_here * TRAFFIC * passes / 3
    each = {axis: size / setup.micro_batches for axis, size in sent.items()}
    seconds = {
        "products": operations / (setup.cluster.peak * PRODUCT_SHARE),
        "other kernels": moved / card.memory_bandwidth,
        "tensor": each.get("tensor", 0.0) / setup.cluster.bandwidth(plan.tensor, 1),
    }
    if plan.pipeline > 1:
        bandwidth = setup.cluster.bandwidth(plan.pipeline, plan.tensor * setup.sharers)
        seconds["pipeline"] = each["pipeline"] / bandwidth
    if plan.context > 1:
        going = each["context"] / setup.cluster.bandwidth(plan.context, plan.tensor)
        seconds["context"] = max(0.0, going - seconds["products"] * OVERLAP)
    return seconds


def _exposed(setup: Setup, micro_batch: float) -> float:
    """Seconds in which devices wait for gradients or weights of others.

    Weights and gradients that go round for every micro-batch hide behind its computation; gradients that go round once
    hide behind the last backward pass.
    """
    sent = max(stage.get("data", 0.0) for stage in setup.sent)
    needed = sent / setup.cluster.bandwidth(setup.sharers, setup.plan.tensor) if sent else 0.0
    hidden = setup.micro_batches * micro_batch if setup.plan.shard in ("zero2", "zero3") else micro_batch * 2 / 3
    return max(0.0, needed - OVERLAP * hidden)
