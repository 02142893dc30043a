"""Training by several processes: one plan, one grid, the same loop."""

from fourfold.training.parallel.plan import ParallelPlan, Shard
from fourfold.training.parallel.ranks import RankLost, Ranks, joined, launched, losing_ranks
from fourfold.training.parallel.together import ParallelTeam, group_by_kind

__all__ = [
    "ParallelPlan",
    "ParallelTeam",
    "RankLost",
    "Ranks",
    "Shard",
    "group_by_kind",
    "joined",
    "launched",
    "losing_ranks",
]
