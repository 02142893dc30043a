"""A training shared by the processes of a launch: the plan of a recipe, checked, and the team that carries it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fourfold.errors import UserError
from fourfold.launch import launched_processes
from fourfold.progress import say
from fourfold.workflow.crew import Launched, require_processes
from fourfold.workflow.training.options import OptimizerOptions, ParallelOptions

if TYPE_CHECKING:
    from torch import nn

    from fourfold.models import Config
    from fourfold.training import ParallelPlan, Team
    from fourfold.workflow.context import StageContext

SPLITS_WELL = ("adamw", "lion")
"""Optimizers that change every number by itself, so that a piece of a matrix is as good as the whole."""


def chosen_plan(options: ParallelOptions | None) -> ParallelPlan:
    """What the recipe says, or data parallelism over whatever was started."""
    from fourfold.training import ParallelPlan

    return ParallelPlan(data=launched_processes()) if options is None else options.plan()


def check_plan(
    options: ParallelOptions | None, config: Config, rows: int, length: int, optimizer: OptimizerOptions
) -> None:
    """Refuse what the plan cannot divide, before anything is started."""
    plan = chosen_plan(options)
    plan.check_model(config)
    plan.check_batch(rows, length)
    if (plan.shard != "none" or plan.tensor > 1) and optimizer.kind not in SPLITS_WELL:
        raise UserError(
            f"'{optimizer.kind}' needs whole matrices, which this plan splits",
            where="parallel",
            expected=" or ".join(SPLITS_WELL),
            advice="Or use data, pipeline and context only.",
        )


def share_out(
    context: StageContext, options: ParallelOptions | None, module: nn.Module, fresh: Callable[[], nn.Module]
) -> tuple[Team | None, nn.Module | None]:
    """Split `module` among the processes; the first gets a whole model beside its part, to be measured and kept."""
    plan = chosen_plan(options)
    require_processes(plan.world, context.name)
    if not isinstance(context.company, Launched):
        return None, None
    from fourfold.training.parallel import ParallelTeam, Ranks

    say(f"{context.name}: {plan.world} processes, {plan}")
    ranks = Ranks(plan, context.company.crew)
    team = ParallelTeam(ranks, module.to(ranks.device))
    return team, fresh() if context.company.rank == 0 else None
