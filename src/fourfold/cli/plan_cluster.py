"""`fourfold plan --devices`: a training on a cluster, and the planner beside published trainings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fourfold.cli.console import between, gigabytes, show, show_table
from fourfold.errors import UserError

AXES = ("data", "shard", "tensor", "pipeline", "context")
SPREAD = 0.15
"""Of a time at our own rate: what most published trainings differ by (docs/planning.md)."""
BATCH_TOKENS = 4e6
"""Tokens of a step if none are asked for: what most models of the survey's table 5 were trained with."""


@dataclass(frozen=True)
class Site:
    """What is asked of a cluster on the command line."""

    devices: str
    parallel: str = "auto"
    price: float | None = None
    overhead: float = 1.1
    utilization: float | None = None

    def __post_init__(self) -> None:
        if self.utilization is not None and not 0 < self.utilization < 1:
            raise UserError("the share of the peak is out of range", where="--utilization", expected="0 to 1",
                            got=self.utilization)  # fmt: skip


def batch_for(row: int) -> int:
    """Rows that hold about `BATCH_TOKENS`, a power of two, so that they divide over most meshes."""
    return int(2 ** max(0, round(math.log2(BATCH_TOKENS / row))))


def plan_on_cluster(job: Any, site: Site) -> dict[str, Any]:
    """The quickest setup that fits, or the one asked for, with memory, time, energy and cost."""
    from fourfold.pretraining import (
        Estimate,
        device_memory,
        fastest,
        flops,
        in_words,
        parse_devices,
        parse_plan,
    )

    cluster = parse_devices(site.devices)
    plan = None if site.parallel == "auto" else parse_plan(site.parallel)
    best = fastest(job, cluster, plan)
    setup = best.setup
    estimate = Estimate(setup=setup, given=site.utilization)
    parts = device_memory(setup)
    price = cluster.card.price if site.price is None else site.price
    return {
        **counted(setup.job),
        "batch_size": job.batch_size,
        "context": job.row,
        "devices": f"{cluster.count}x{cluster.name}",
        "device": cluster.card.title,
        "parallel": {axis: getattr(setup.plan, axis) for axis in AXES},
        "parallel_in_words": in_words(setup.plan),
        "micro_batch": setup.micro_batch,
        "recompute": setup.job.recompute,
        "optimizer": job.optimizer,
        "train_flops": flops(setup.job),
        "memory_bytes": sum(parts.values()),
        "memory": parts,
        "device_memory_bytes": cluster.memory,
        "activation_bytes": activations_both_ways(setup),
        "communication_bytes": {name: float(size) for name, size in setup.most_sent.items()},
        "step_seconds": float(sum(estimate.step.values())),
        "step": {name: float(size) for name, size in estimate.step.items()},
        "utilization": float(estimate.utilization),
        "seconds": float(estimate.seconds),
        "seconds_spread": float(estimate.seconds * (SPREAD if site.utilization is None else 0.0)),
        "kilowatt_hours": float(estimate.joules(site.overhead) / 3.6e6),
        "power_overhead": site.overhead,
        "cost": float(estimate.cost(price)),
        "price": price,
        "sources": {"device": cluster.card.source},
    }


def counted(job: Any) -> dict[str, Any]:
    """What hangs on the model and the number of tokens alone."""
    from fourfold.models.inspection import count, forward_flops_by_operator, kv_bytes
    from fourfold.pretraining import flops_per_token, rule_of_six

    counts = count(job.config)
    return {
        "parameters": counts.total,
        "parameters_active": counts.active,
        "tokens": job.tokens,
        "flops_per_token": flops_per_token(job),
        "forward_flops_by_operator": forward_flops_by_operator(job.config, job.row),
        "rule_of_six": rule_of_six(job),
        "kv_bytes_per_token": kv_bytes(job.config, 1, 2),
    }


def activations_both_ways(setup: Any) -> dict[str, int]:
    """Activations of the fullest device, kept and computed again."""
    from fourfold.pretraining import device_memory

    both = {"kept": False, "computed again": True}
    return {
        name: device_memory(replace(setup, job=replace(setup.job, recompute=again)))["activations"]
        for name, again in both.items()
    }


def in_verdict(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan with its verdict in front."""
    room = f"{gigabytes(plan['memory_bytes']).removesuffix(' GB')} of {gigabytes(plan['device_memory_bytes'])}"
    verdict = f"fits: {room} a device, {between(plan['seconds'], plan['seconds_spread'])}, {money(plan['cost'])}"
    return {"verdict": verdict, "fits": True, **plan}


def plan_recipe_on(path: Path, overrides: list[str], site: Site) -> dict[str, Any]:
    """Every pre-training by gradient of a recipe on the cluster, one after the other."""
    from fourfold.cli.recipe_plan import pretraining_jobs

    stages = [{"stage": name, **plan_on_cluster(job, site)} for name, job in pretraining_jobs(path, overrides)]
    if not stages:
        raise UserError("the recipe pre-trains nothing by gradient", where=path, advice="Leave --devices out.")
    largest = max(stages, key=lambda stage: stage["memory_bytes"])
    summed = ("train_flops", "seconds", "seconds_spread", "cost", "kilowatt_hours")
    totals = {key: sum(stage[key] for stage in stages) for key in summed}
    return in_verdict({**largest, **totals, "parameters": sum(stage["parameters"] for stage in stages),
                       "stages": stages})  # fmt: skip


def show_cluster(plan: dict[str, Any]) -> None:
    """The plan for a reader."""
    show(plan["verdict"])
    for stage in plan.get("stages", [plan]):
        show()
        _show_one(stage)


def show_size(plan: dict[str, Any]) -> None:
    """How large the model, the text and the work are, the same for a cluster and for this machine."""
    active = plan["parameters_active"]
    show(f"parameters  {plan['parameters']:,}"
         + (f", {active:,} of them active" if active < plan["parameters"] else "")
         + (f" (published: {plan['published']})" if "published" in plan else ""))  # fmt: skip
    show(f"tokens      {plan['tokens']:,.0f} in rows of {plan['context']:,}, {plan['batch_size']:,} a step")
    show(f"FLOPs       {plan['train_flops']:.3g}, {plan['flops_per_token']:.3g} a token; "
         f"6 N D says {plan['rule_of_six']:.3g}")  # fmt: skip


def _show_one(plan: dict[str, Any]) -> None:
    if "stage" in plan:
        show(f"stage       {plan['stage']}")
    show_size(plan)
    operators = plan["forward_flops_by_operator"]
    whole = sum(operators.values())
    show("            forward: " + ", ".join(f"{name} {size / whole:.1%}" for name, size in operators.items()))
    how = "activations computed again" if plan["recompute"] else "activations kept"
    show(f"plan        {plan['devices']}: {plan['parallel_in_words']}, {plan['micro_batch']} rows at a time, {how}")
    show(f"memory      {gigabytes(plan['memory_bytes'])} of {gigabytes(plan['device_memory_bytes'])} a device: "
         + ", ".join(f"{part} {gigabytes(size)}" for part, size in plan["memory"].items()))  # fmt: skip
    show("            activations " + ", ".join(f"{n} {gigabytes(s)}" for n, s in plan["activation_bytes"].items()))
    sent = ", ".join(f"{axis} {gigabytes(size)}" for axis, size in plan["communication_bytes"].items())
    show(f"sent        {sent or 'nothing'} a device and step")
    show(f"step        {plan['step_seconds']:.3g} s: "
         + ", ".join(f"{name} {size:.2g}" for name, size in plan["step"].items()))  # fmt: skip
    show(f"rate        {plan['utilization']:.1%} of the peak (MFU)")
    show(f"time        {between(plan['seconds'], plan['seconds_spread'])}")
    energy, overhead = plan["kilowatt_hours"], plan["power_overhead"]
    show(f"energy      {energy:,.0f} kWh at full power, {overhead:g} times for the building")
    show(f"cost        {money(plan['cost'])} at {plan['price']:g} dollars a device and hour (--price)")
    show(f"decoding    {plan['kv_bytes_per_token'] / 1e3:,.1f} kB of keys and values a token")


def money(dollars: float) -> str:
    if dollars >= 1e6:
        return f"{dollars / 1e6:,.2f}M dollars"
    return f"{dollars:,.0f} dollars" if dollars >= 10 else f"{dollars:.2f} dollars"


def published_rows() -> list[dict[str, Any]]:
    """The planner beside published trainings, a row a number."""
    from fourfold.pretraining import compare_published

    return [
        {
            "run": found.run.title,
            "quantity": found.quantity,
            "published": found.published,
            "planned": found.planned,
            "error": found.error,
            "own": found.own,
            "own_error": found.own_error,
            "fitted": found.run.fitted,
            "note": found.run.note,
            "source": found.run.source,
        }
        for found in compare_published()
    ]


def show_published(rows: list[dict[str, Any]]) -> None:
    shown = [
        {
            **{key: row[key] for key in ("run", "quantity")},
            **{key: None if row[key] is None else f"{row[key]:.3g}" for key in ("published", "planned", "own")},
            **{key: None if row[key] is None else f"{row[key]:+.1%}" for key in ("error", "own_error")},
        }
        for row in rows
    ]
    show_table(shown, {"run": "run", "quantity": "number", "published": "published", "planned": "at its rate",
                       "error": "error", "own": "at ours", "own_error": "error of ours"})  # fmt: skip
