"""Optimizers over the parameters that train: what decays, and how a step is taken."""

from fourfold.training.optimizers.making import OPTIMIZERS, adamw, make_optimizer

__all__ = ["OPTIMIZERS", "adamw", "make_optimizer"]
