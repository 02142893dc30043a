"""One training loop; objectives, schedules, optimizers, precision and checkpoints are values around it."""

from fourfold.training.batches import IGNORED, Batch, BatchSource, FixedBatches, LabelledBatch, real_mask
from fourfold.training.checkpoints import load_latest_checkpoint, save_checkpoint
from fourfold.training.cross_entropy import cross_entropy_sum, label_log_probs, rows_at_once
from fourfold.training.guards import Diverged
from fourfold.training.loop import TrainingStep, train
from fourfold.training.objectives import (
    Classifier,
    LanguageModelling,
    Objective,
    causal,
    causal_language_modelling,
)
from fourfold.training.optimizers import adafactor, adamw
from fourfold.training.precision import FLOAT32, Precision, choose_precision
from fourfold.training.probe import steps_for_seconds
from fourfold.training.routing import load_balancing_loss, router_z_loss
from fourfold.training.schedules import Schedule, constant, cosine, linear, make_schedule, wsd

__all__ = [
    "FLOAT32",
    "IGNORED",
    "Batch",
    "BatchSource",
    "Classifier",
    "Diverged",
    "FixedBatches",
    "LabelledBatch",
    "LanguageModelling",
    "Objective",
    "Precision",
    "Schedule",
    "TrainingStep",
    "adafactor",
    "adamw",
    "causal",
    "causal_language_modelling",
    "choose_precision",
    "constant",
    "cosine",
    "cross_entropy_sum",
    "label_log_probs",
    "linear",
    "load_balancing_loss",
    "load_latest_checkpoint",
    "make_schedule",
    "real_mask",
    "router_z_loss",
    "rows_at_once",
    "save_checkpoint",
    "steps_for_seconds",
    "train",
    "wsd",
]
