"""From a model and a prompt to text and scores."""

from fourfold.inference.capabilities import Capability, capabilities_table
from fourfold.inference.choices import (
    Beam,
    BestOf,
    Constraint,
    Contrastive,
    Drafts,
    Speculative,
    Strategy,
    choice,
    grammar,
    json_schema,
    regex,
)
from fourfold.inference.constraints import matcher_for
from fourfold.inference.contextual import ContextEncoder
from fourfold.inference.encoder import Filling, TextEncoder
from fourfold.inference.endpoint import Endpoint, EndpointOptions, Price, Usage
from fourfold.inference.engine import Engine, EngineCounts, EngineLimits, Overloaded, Request, Running, Token
from fourfold.inference.feeding import Prompt, feed_for
from fourfold.inference.language_model import LanguageModel, TextTokenizer, end_of_turn
from fourfold.inference.loading import load, locate, preferred_dtype
from fourfold.inference.looking_up import EncodesLines, LineScores, score_lines
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
from fourfold.inference.stopping import StopText
from fourfold.inference.strategies import draft_model, reading

__all__ = [
    "Beam",
    "BestOf",
    "Capability",
    "ChatModel",
    "Constraint",
    "ContextEncoder",
    "Continuation",
    "Contrastive",
    "Drafts",
    "EncodesLines",
    "Endpoint",
    "EndpointOptions",
    "Engine",
    "EngineCounts",
    "EngineLimits",
    "Filling",
    "FinishReason",
    "Generation",
    "LanguageModel",
    "LineScores",
    "Message",
    "Overloaded",
    "Price",
    "Prompt",
    "Request",
    "Running",
    "Sampler",
    "Sampling",
    "ScoringModel",
    "ScriptedModel",
    "Span",
    "Speculative",
    "StopText",
    "Strategy",
    "TextEncoder",
    "TextScore",
    "TextTokenizer",
    "Token",
    "Usage",
    "capabilities_table",
    "choice",
    "choose_many",
    "draft_model",
    "end_of_turn",
    "feed_for",
    "grammar",
    "json_schema",
    "load",
    "locate",
    "matcher_for",
    "preferred_dtype",
    "reading",
    "regex",
    "say_if_hard_to_read",
    "say_if_unnormalised",
    "score_lines",
    "score_shared",
    "score_spans",
    "top_alternatives",
    "windows",
]
