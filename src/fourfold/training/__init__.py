"""One training loop; objectives, schedules, optimizers, precision and checkpoints are values around it."""

from fourfold.training.averaging import WeightAverage
from fourfold.training.batches import IGNORED, Batch, BatchSource, FixedBatches, LabelledBatch, real_mask
from fourfold.training.bidirectional import BothDirections
from fourfold.training.carrying import Carried
from fourfold.training.checkpoints import Checkpoint, hand_over, load_latest_checkpoint, save_checkpoint
from fourfold.training.compiling import compile_regions, trial_step_seconds, why_not
from fourfold.training.cross_entropy import cross_entropy_sum, label_log_probs, rows_at_once
from fourfold.training.guards import Diverged, SpoilingStep
from fourfold.training.live_data import LiveData
from fourfold.training.loop import Guard, TrainingStep, train
from fourfold.training.noise import gradient_noise_scale, noise_scale
from fourfold.training.objectives import (
    Classifier,
    LanguageModelling,
    Objective,
    causal,
    causal_language_modelling,
    class_loss_sum,
)
from fourfold.training.optimizers import OPTIMIZERS, adafactor, adamw, make_optimizer
from fourfold.training.plan import ParallelPlan, Shard
from fourfold.training.precision import FLOAT32, Precision, choose_precision
from fourfold.training.probe import steps_for_seconds
from fourfold.training.routing import load_balancing_loss, router_z_loss
from fourfold.training.schedules import (
    Schedule,
    constant,
    cooldown,
    cosine,
    inverse_square_root,
    linear,
    make_schedule,
    wsd,
)
from fourfold.training.spikes import Answer, Answered, SpikePolicy, SpikeWatch, is_spike
from fourfold.training.team import ALONE, Team

__all__ = [
    "ALONE",
    "FLOAT32",
    "IGNORED",
    "OPTIMIZERS",
    "Answer",
    "Answered",
    "Batch",
    "BatchSource",
    "BothDirections",
    "Carried",
    "Checkpoint",
    "Classifier",
    "Diverged",
    "FixedBatches",
    "Guard",
    "LabelledBatch",
    "LanguageModelling",
    "LiveData",
    "Objective",
    "ParallelPlan",
    "Precision",
    "Schedule",
    "Shard",
    "SpikePolicy",
    "SpikeWatch",
    "SpoilingStep",
    "Team",
    "TrainingStep",
    "WeightAverage",
    "adafactor",
    "adamw",
    "causal",
    "causal_language_modelling",
    "choose_precision",
    "class_loss_sum",
    "compile_regions",
    "constant",
    "cooldown",
    "cosine",
    "cross_entropy_sum",
    "gradient_noise_scale",
    "hand_over",
    "inverse_square_root",
    "is_spike",
    "label_log_probs",
    "linear",
    "load_balancing_loss",
    "load_latest_checkpoint",
    "make_optimizer",
    "make_schedule",
    "noise_scale",
    "real_mask",
    "router_z_loss",
    "rows_at_once",
    "save_checkpoint",
    "steps_for_seconds",
    "train",
    "trial_step_seconds",
    "why_not",
    "wsd",
]
