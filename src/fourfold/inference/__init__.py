"""From a model and a prompt to text and scores."""

from fourfold.inference.results import (
    ChatModel,
    Continuation,
    FinishReason,
    Generation,
    Message,
    Sampling,
    ScoringModel,
    TextScore,
)

__all__ = [
    "ChatModel",
    "Continuation",
    "FinishReason",
    "Generation",
    "Message",
    "Sampling",
    "ScoringModel",
    "TextScore",
]
