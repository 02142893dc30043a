"""Training by several processes: one plan, one grid, the same loop."""

from fourfold.training.parallel.ranks import Crew, RankLost, Ranks, joined, losing_ranks, rank_device
from fourfold.training.parallel.stages import keep_stage, layers_of_stage, stays_in_stage
from fourfold.training.parallel.together import ParallelTeam, group_by_kind

__all__ = [
    "Crew",
    "ParallelTeam",
    "RankLost",
    "Ranks",
    "group_by_kind",
    "joined",
    "keep_stage",
    "layers_of_stage",
    "losing_ranks",
    "rank_device",
    "stays_in_stage",
]
