"""What a language model is: four generations behind three protocols."""

from fourfold.models.linear import Linear, LowRankDelta
from fourfold.models.protocols import CausalLM, DirectScorer, Encoder, State, Step, WordVectors, positions_of

__all__ = [
    "CausalLM",
    "DirectScorer",
    "Encoder",
    "Linear",
    "LowRankDelta",
    "State",
    "Step",
    "WordVectors",
    "positions_of",
]
