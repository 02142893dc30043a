"""From a model and a prompt to text and scores."""

from fourfold.inference.capabilities import Capability, capabilities_table
from fourfold.inference.decoding import Request, Token, decode
from fourfold.inference.encoder import Filling, TextEncoder
from fourfold.inference.endpoint import Endpoint
from fourfold.inference.language_model import LanguageModel, TextTokenizer
from fourfold.inference.loading import load, locate, preferred_dtype
from fourfold.inference.reading import say_if_hard_to_read, say_if_unnormalised
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
from fourfold.inference.sharing import score_shared

__all__ = [
    "Capability",
    "ChatModel",
    "Continuation",
    "Endpoint",
    "Filling",
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
    "TextEncoder",
    "TextScore",
    "TextTokenizer",
    "Token",
    "capabilities_table",
    "decode",
    "load",
    "locate",
    "preferred_dtype",
    "say_if_hard_to_read",
    "say_if_unnormalised",
    "score_shared",
    "score_spans",
    "windows",
]
