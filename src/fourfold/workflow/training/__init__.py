"""The one loop as stages run it: options of a recipe, resuming, spikes, averages, trackers."""

from fourfold.workflow.training.compiling import Compile, compile_if_worth
from fourfold.workflow.training.fitting import Fit, Measure, remove_checkpoints, run_fit
from fourfold.workflow.training.options import (
    Budget,
    CheckpointOptions,
    OptimizerOptions,
    SpikeOptions,
    decide_steps,
)
from fourfold.workflow.training.rows import Totals, curve_row, curve_steps, cut_back

__all__ = [
    "Budget",
    "CheckpointOptions",
    "Compile",
    "Fit",
    "Measure",
    "OptimizerOptions",
    "SpikeOptions",
    "Totals",
    "compile_if_worth",
    "curve_row",
    "curve_steps",
    "cut_back",
    "decide_steps",
    "remove_checkpoints",
    "run_fit",
]
