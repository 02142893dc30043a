"""The plan that takes least time, and so least money, among those that fit; and what would fit where none does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from fourfold.errors import UserError
from fourfold.pretraining.planning.cluster import Cluster
from fourfold.pretraining.planning.duration import Estimate
from fourfold.pretraining.planning.job import Job
from fourfold.pretraining.planning.parallel import in_words
from fourfold.pretraining.planning.stages import FULL, WORKING, Setup, device_memory
from fourfold.resources import device_names
from fourfold.training import ParallelPlan, Shard

MICRO_BATCHES = (1, 2, 4, 8, 16)
LONG_ROW = 16384
"""Rows shorter than this are not split: sending keys and values round would take longer than it saves."""
MOST_DEVICES = 65536


def fastest(job: Job, cluster: Cluster, plan: ParallelPlan | None = None, *, ours: bool = True) -> Estimate:
    """The quickest setup that fits, under `plan` if one is given; UserError with what would fit if none does.

    `ours`: only what Fourfold itself can train; otherwise as other programs do, with 16-bit weights on the way.
    """
    setups = list(_setups(job, cluster, plan, ours))
    if not setups:
        raise UserError(
            f"{job.batch_size:,} rows a step do not divide over {cluster.count:,} devices under any plan",
            advice="Choose a batch with more divisors by --batch-size, or another number of devices.",
        )
    fitting = [setup for setup in setups if _needed(setup) <= cluster.memory]
    if not fitting:
        raise _refusal(job, cluster, min(setups, key=_needed), plan)
    return min((Estimate(setup=setup) for setup in fitting), key=lambda one: one.seconds)


def _needed(setup: Setup) -> int:
    return sum(device_memory(setup).values())


def _setups(job: Job, cluster: Cluster, plan: ParallelPlan | None, ours: bool = True) -> Iterator[Setup]:
    """Everything worth a look, smallest micro-batches first."""
    gathered = FULL if ours else WORKING
    for chosen in [plan] if plan is not None else _plans(job, cluster):
        try:
            if ours:
                chosen.check_model(job.config)
        except UserError:
            if plan is not None:
                raise
            continue
        for rows in MICRO_BATCHES:
            for recompute in (False, True) if not job.recompute else (True,):
                try:
                    again = replace(job, recompute=recompute)
                    yield Setup(job=again, cluster=cluster, plan=chosen, micro_batch=rows, gathered=gathered)
                except UserError:
                    if plan is not None and rows == 1:
                        raise  # the plan that was asked for does not suit the model
                    break


def _plans(job: Job, cluster: Cluster) -> Iterator[ParallelPlan]:
    """Tensor parallelism stays in a node (Narayanan et al. 2021, takeaway 1); rows are split only where long."""
    for tensor in _powers(min(cluster.card.node, 16, cluster.count)):
        for context in _powers(8 if job.row >= LONG_ROW else 1):
            left, rest = divmod(cluster.count, tensor * context)
            if rest or not left:
                continue
            for pipeline in (size for size in range(1, min(left, 128) + 1) if left % size == 0):
                for shard in get_args(Shard):
                    if shard == "none" or left // pipeline * context > 1:
                        yield ParallelPlan(
                            data=left // pipeline, shard=shard, tensor=tensor, pipeline=pipeline, context=context
                        )


def _powers(most: int) -> Iterator[int]:
    size = 1
    while size <= most:
        yield size
        size *= 2


def _refusal(job: Job, cluster: Cluster, least: Setup, plan: ParallelPlan | None) -> UserError:
    how = f"under {in_words(least.plan)}" if plan is not None else "under any plan"
    would = [] if plan is not None else [f"{other.count:,}x{other.name}" for other in _that_fit(job, cluster)]
    advice = f"It would fit on {' or '.join(would)}." if would else "Try --parallel auto, or more devices."
    return UserError(
        f"the training does not fit on {cluster.count:,}x{cluster.name} {how}",
        expected=f"at most {cluster.memory / 1e9:.1f} GB a device",
        got=f"{_needed(least) / 1e9:.1f} GB, of them " + _largest(least),
        advice=advice,
    )


def _largest(setup: Setup) -> str:
    parts = sorted(device_memory(setup).items(), key=lambda item: -item[1])[:2]
    return " and ".join(f"{size / 1e9:.1f} GB of {name}" for name, size in parts)


def _that_fit(job: Job, cluster: Cluster) -> Iterator[Cluster]:
    """The fewest devices of the kind asked for, in doublings, and as many of the smallest other kind that suffice."""
    more = cluster
    while more.count < MOST_DEVICES:
        more = replace(more, count=more.count * 2)
        if _fits(job, more):
            yield more
            break
    for name, card in sorted(device_names().items(), key=lambda item: item[1].memory):
        other = Cluster(name=name, card=card, count=cluster.count)
        if other.memory > cluster.memory and _fits(job, other):
            yield other
            break


def _fits(job: Job, cluster: Cluster) -> bool:
    return any(_needed(setup) <= cluster.memory for setup in _setups(job, cluster, None))
