"""From a model and a prompt to text and scores."""

from fourfold.inference.capabilities import Capability, capabilities_table
from fourfold.inference.choices import (
    Beam,
    BestOf,
    Constraint,
    Contrastive,
    Speculative,
    Strategy,
    choice,
    grammar,
    json_schema,
    regex,
)
from fourfold.inference.encoder import Filling, TextEncoder
from fourfold.inference.endpoint import Endpoint, EndpointOptions, Price, Usage
from fourfold.inference.engine import Engine, EngineCounts, EngineLimits, Overloaded, Request, Running, Token
from fourfold.inference.language_model import LanguageModel, TextTokenizer
from fourfold.inference.loading import load, locate
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
from fourfold.inference.sampling import Sampler, choose_many, top_alternatives
from fourfold.inference.scoring import Span, score_spans, windows
from fourfold.inference.scripted import ScriptedModel
from fourfold.inference.sharing import score_shared

__all__ = [
    "Beam",
    "BestOf",
    "Capability",
    "ChatModel",
    "Constraint",
    "Continuation",
    "Contrastive",
    "Endpoint",
    "EndpointOptions",
    "Engine",
    "EngineCounts",
    "EngineLimits",
    "Filling",
    "FinishReason",
    "Generation",
    "LanguageModel",
    "Message",
    "Overloaded",
    "Price",
    "Request",
    "Running",
    "Sampler",
    "Sampling",
    "ScoringModel",
    "ScriptedModel",
    "Span",
    "Speculative",
    "Strategy",
    "TextEncoder",
    "TextScore",
    "TextTokenizer",
    "Token",
    "Usage",
    "capabilities_table",
    "choice",
    "choose_many",
    "grammar",
    "json_schema",
    "load",
    "locate",
    "regex",
    "say_if_hard_to_read",
    "say_if_unnormalised",
    "score_shared",
    "score_spans",
    "top_alternatives",
    "windows",
]
