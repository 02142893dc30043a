"""Fold 1: from text to a language model, and what that takes."""

from fourfold.pretraining.planning import Job, count, flops, machine_memory, memory, published_config
from fourfold.pretraining.speed import Speed, measure_speed

__all__ = ["Job", "Speed", "count", "flops", "machine_memory", "measure_speed", "memory", "published_config"]
