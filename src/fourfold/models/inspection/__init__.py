"""What a model is made of, what a token costs in it, and what it attends to, as numbers and as pictures."""

from fourfold.models.inspection.counting import Counts, count, forward_flops, kv_bytes, parameters_by_part, stacks
from fourfold.models.inspection.words import in_words

__all__ = ["Counts", "count", "forward_flops", "in_words", "kv_bytes", "parameters_by_part", "stacks"]
