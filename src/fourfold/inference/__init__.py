"""From a model and a prompt to text and scores."""

from fourfold.inference.decoding import Request, Token, decode
from fourfold.inference.endpoint import Endpoint
from fourfold.inference.language_model import LanguageModel, TextTokenizer
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
from fourfold.inference.sampling import Sampler
from fourfold.inference.scoring import Span, score_spans, windows
from fourfold.inference.scripted import ScriptedModel

__all__ = [
    "ChatModel",
    "Continuation",
    "Endpoint",
    "FinishReason",
    "Generation",
    "LanguageModel",
    "Message",
    "Request",
    "Sampler",
    "Sampling",
    "ScoringModel",
    "ScriptedModel",
    "Span",
    "TextScore",
    "TextTokenizer",
    "Token",
    "decode",
    "score_spans",
    "windows",
]
