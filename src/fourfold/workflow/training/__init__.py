"""The one loop as stages run it: options of a recipe, resuming, spikes, averages, trackers."""

from fourfold.workflow.training.compiling import Compile, compile_if_worth, compiles
from fourfold.workflow.training.fit import Fit, Measure
from fourfold.workflow.training.fitting import run_fit
from fourfold.workflow.training.folders import remove_checkpoints
from fourfold.workflow.training.options import (
    Budget,
    CheckpointOptions,
    OptimizerOptions,
    ParallelOptions,
    SpikeOptions,
    decide_steps,
)
from fourfold.workflow.training.rows import Totals, curve_row, curve_steps, cut_back
from fourfold.workflow.training.sharing import check_plan, chosen_plan, share_out
from fourfold.workflow.training.trackers import require_service

__all__ = [
    "Budget",
    "CheckpointOptions",
    "Compile",
    "Fit",
    "Measure",
    "OptimizerOptions",
    "ParallelOptions",
    "SpikeOptions",
    "Totals",
    "check_plan",
    "chosen_plan",
    "compile_if_worth",
    "compiles",
    "curve_row",
    "curve_steps",
    "cut_back",
    "decide_steps",
    "remove_checkpoints",
    "require_service",
    "run_fit",
    "share_out",
]
