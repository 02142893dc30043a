"""How one training is spread over devices: the plan, and how a plan is written on a command line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from fourfold.errors import UserError, unknown_name

Shard = Literal["none", "zero1", "zero2", "zero3"]
"""What data-parallel ranks have a part each of (Rajbhandari et al. 2020): nothing; optimizer state and fp32 weights;
gradients too; the working weights too."""


@dataclass(frozen=True, kw_only=True)
class ParallelPlan:
    """Ranks along each axis of the mesh; their product is the number of devices."""

    data: int = 1
    """Ranks that read different rows."""
    shard: Shard = "none"
    tensor: int = 1
    """Ranks that share every layer (Shoeybi et al. 2019)."""
    pipeline: int = 1
    """Ranks with different layers, one forward and one backward in turn (Narayanan et al. 2021)."""
    context: int = 1
    """Ranks that share every row, keys and values going round (Liu et al. 2023)."""

    def __post_init__(self) -> None:
        if min(self.data, self.tensor, self.pipeline, self.context) < 1:
            raise UserError("a parallel plan has at least one rank along each axis", got=in_words(self))
        if self.shard not in get_args(Shard):
            raise unknown_name("kind of sharding", self.shard, get_args(Shard))

    @property
    def world(self) -> int:
        """Devices in all."""
        return self.data * self.tensor * self.pipeline * self.context


def in_words(plan: ParallelPlan) -> str:
    """`data 64 (zero1), tensor 8, pipeline 4`."""
    sharded = "" if plan.shard == "none" else f" ({plan.shard})"
    others = {name: getattr(plan, name) for name in ("tensor", "pipeline", "context")}
    return ", ".join([f"data {plan.data}{sharded}", *(f"{name} {size}" for name, size in others.items() if size > 1)])


def parse_plan(text: str) -> ParallelPlan:
    """`data=64,shard=zero1,tensor=8,pipeline=4`."""
    known = {field.name for field in fields(ParallelPlan)}
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in known:
            raise unknown_name("axis of a parallel plan", name, known, where="--parallel")
        if name != "shard" and not value.isdigit():
            raise UserError(f"'{name}' is no number of ranks", where="--parallel", got=value)
        values[name] = value if name == "shard" else int(value)
    return ParallelPlan(**values)
