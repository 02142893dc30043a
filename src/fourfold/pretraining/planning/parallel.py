"""How one training is spread over devices: the plan, and how a plan is written on a command line."""

from __future__ import annotations

from typing import Any, get_args

from fourfold.errors import UserError, unknown_name
from fourfold.training import ParallelPlan, Shard

AXES = ("data", "shard", "tensor", "pipeline", "context")


def in_words(plan: ParallelPlan) -> str:
    """`data 64 (zero1), tensor 8, pipeline 4`."""
    sharded = "" if plan.shard == "none" else f" ({plan.shard})"
    others = {name: getattr(plan, name) for name in ("tensor", "pipeline", "context")}
    return ", ".join([f"data {plan.data}{sharded}", *(f"{name} {size}" for name, size in others.items() if size > 1)])


def parse_plan(text: str) -> ParallelPlan:
    """`data=64,shard=zero1,tensor=8,pipeline=4`."""
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in AXES:
            raise unknown_name("axis of a parallel plan", name, AXES, where="--parallel")
        if name != "shard" and not value.isdigit():
            raise UserError(f"'{name}' is no number of ranks", where="--parallel", got=value)
        if name == "shard" and value not in get_args(Shard):
            raise unknown_name("kind of sharding", value, get_args(Shard), where="--parallel")
        values[name] = value if name == "shard" else int(value)
    return ParallelPlan(**values)
