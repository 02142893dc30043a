"""One training loop; objectives, schedules, optimizers, precision and checkpoints are values around it."""

from fourfold.training.averaging import WeightAverage
from fourfold.training.batches import IGNORED, Batch, BatchSource, FixedBatches, LabelledBatch, real_mask
from fourfold.training.checkpoints import Checkpoint, load_latest_checkpoint, save_checkpoint
from fourfold.training.compiling import compile_regions, trial_step_seconds, why_not
from fourfold.training.cross_entropy import cross_entropy_sum, label_log_probs, rows_at_once
from fourfold.training.guards import Diverged
from fourfold.training.loop import Guard, TrainingStep, train
from fourfold.training.noise import gradient_noise_scale, noise_scale
from fourfold.training.objectives import (
    Classifier,
    LanguageModelling,
    Objective,
    causal,
    causal_language_modelling,
)
from fourfold.training.optimizers import OPTIMIZERS, adafactor, adamw, make_optimizer
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

__all__ = [
    "FLOAT32",
    "IGNORED",
    "OPTIMIZERS",
    "Answer",
    "Answered",
    "Batch",
    "BatchSource",
    "Checkpoint",
    "Classifier",
    "Diverged",
    "FixedBatches",
    "Guard",
    "LabelledBatch",
    "LanguageModelling",
    "Objective",
    "Precision",
    "Schedule",
    "SpikePolicy",
    "SpikeWatch",
    "TrainingStep",
    "WeightAverage",
    "adafactor",
    "adamw",
    "causal",
    "causal_language_modelling",
    "choose_precision",
    "compile_regions",
    "constant",
    "cooldown",
    "cosine",
    "cross_entropy_sum",
    "gradient_noise_scale",
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
