"""Fold 1: from text to a language model, and what that takes."""

from fourfold.pretraining.planning import Job, flops, flops_per_token, machine_memory, memory
from fourfold.pretraining.speed import Speed, measure_speed, peak_flops
from fourfold.pretraining.traffic import Shared, communication, held

__all__ = [
    "Job",
    "Shared",
    "Speed",
    "communication",
    "flops",
    "flops_per_token",
    "held",
    "machine_memory",
    "measure_speed",
    "memory",
    "peak_flops",
]
