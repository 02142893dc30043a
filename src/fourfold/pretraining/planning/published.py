"""Published trainings beside what the planner says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from fourfold.models import TransformerConfig
from fourfold.pretraining.planning.cluster import parse_devices
from fourfold.pretraining.planning.duration import Estimate
from fourfold.pretraining.planning.job import Job, flops
from fourfold.pretraining.planning.parallel import parse_plan
from fourfold.pretraining.planning.search import fastest
from fourfold.pretraining.planning.stages import WORKING, Setup, device_memory
from fourfold.resources import TrainingRun, published_config, training_runs

PER_KILOWATT_HOUR = 3.6e6
UNITS = {"flops": "operations", "seconds": "s in all", "step": "s a step", "rate": "operations/s", "memory": "bytes",
         "kilowatt_hours": "kWh"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One published number."""

    run: TrainingRun
    quantity: str
    published: float
    planned: float | None
    """At the published rate; None where none is published and none is needed."""
    own: float | None
    """By our estimate of the rate; None where the number does not hang on it."""

    @property
    def error(self) -> float | None:
        return None if self.planned is None else self.planned / self.published - 1

    @property
    def own_error(self) -> float | None:
        return None if self.own is None else self.own / self.published - 1


def compare_published() -> list[Comparison]:
    """Every number of every run."""
    return [found for run in training_runs().values() for found in _compare(run)]


def _compare(run: TrainingRun) -> Iterator[Comparison]:
    setup = _setup(run)
    own = Estimate(setup=setup)
    share = _share(run, setup)
    given = None if share is None else Estimate(setup=setup, given=share)
    for quantity, value in run.published.items():
        planned, ours = _planned(quantity, given, run, setup), _planned(quantity, own, run, setup)
        rateless = quantity in ("flops", "memory")
        yield Comparison(
            run=run,
            quantity=quantity,
            published=value,
            planned=ours if rateless else planned,
            own=None if rateless else ours,
        )


def _planned(quantity: str, estimate: Estimate | None, run: TrainingRun, setup: Setup) -> float | None:
    if estimate is None:
        return None
    match quantity:
        case "flops":
            return flops(replace(setup.job, recompute=run.recompute))
        case "memory":
            return float(sum(device_memory(setup).values()))
        case "seconds":
            return estimate.seconds
        case "step":
            return sum(estimate.step.values())
        case "rate":
            return estimate.utilization * (4 / 3 if run.recompute else 1.0) * setup.cluster.peak
        case _:
            return estimate.joules(run.overhead) / PER_KILOWATT_HOUR


def _share(run: TrainingRun, setup: Setup) -> float | None:
    """The published rate as a share of the peak, operations computed again not counted."""
    if run.model_share is not None:
        return run.model_share
    if run.hardware_rate is not None:
        return run.hardware_rate * (0.75 if run.recompute else 1.0) / setup.cluster.peak
    if run.token_rate is not None:
        once = flops(replace(setup.job, recompute=False)) / setup.job.tokens
        return run.token_rate * once / setup.cluster.peak
    return None


def _setup(run: TrainingRun) -> Setup:
    job = Job(
        config=_config(run),
        tokens=run.tokens,
        batch_size=run.batch_size,
        context=run.context,
        recompute=run.recompute,
    )
    cluster = parse_devices(run.devices)
    if not run.parallel:
        return fastest(job, cluster, ours=False).setup
    return Setup(
        job=job, cluster=cluster, plan=parse_plan(run.parallel), micro_batch=run.micro_batch, fused=run.fused,
        stream=run.stream, gathered=WORKING, accumulated=run.accumulated,
    )  # fmt: skip


def _config(run: TrainingRun) -> TransformerConfig:
    config = published_config(run.preset)
    assert isinstance(config, TransformerConfig)
    sizes: dict[str, Any] = dict(run.changes)
    if heads := sizes.pop("heads", None):
        sizes["attention"] = replace(config.attention, heads=heads)
    if size := sizes.pop("feed_forward_size", None):
        sizes["feed_forward"] = replace(config.feed_forward, size=size)
    return replace(config, **sizes)
