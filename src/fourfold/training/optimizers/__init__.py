"""Optimizers over the parameters that train: what decays, and how a step is taken."""

from fourfold.training.optimizers.making import OPTIMIZERS, adafactor, adamw, make_optimizer

__all__ = ["OPTIMIZERS", "adafactor", "adamw", "make_optimizer"]
