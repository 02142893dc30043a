"""What a model is asked while it is pre-trained: objectives as values, from rows of tokens to labelled batches."""

from fourfold.pretraining.objectives.batches import ObjectiveBatches
from fourfold.pretraining.objectives.denoising import NOISES, Denoising, infill, permute_sentences, rotate
from fourfold.pretraining.objectives.examples import Example, Form, PretrainingObjective, Row, collate, lay_out
from fourfold.pretraining.objectives.infilling import Infilling, rearrange
from fourfold.pretraining.objectives.known import OBJECTIVES, form_of, make_objective
from fourfold.pretraining.objectives.marks import RESERVED, Marks, Reserve
from fourfold.pretraining.objectives.masking import MaskedLM, choose_tokens, hide
from fourfold.pretraining.objectives.mixture import DENOISERS, MixtureOfDenoisers
from fourfold.pretraining.objectives.prediction import Causal, PrefixLM, TwoWay
from fourfold.pretraining.objectives.spans import Span, SpanCorruption, corrupt, divide, noise_counts, place_spans

__all__ = [
    "DENOISERS",
    "NOISES",
    "OBJECTIVES",
    "RESERVED",
    "Causal",
    "Denoising",
    "Example",
    "Form",
    "Infilling",
    "Marks",
    "MaskedLM",
    "MixtureOfDenoisers",
    "ObjectiveBatches",
    "PrefixLM",
    "PretrainingObjective",
    "Reserve",
    "Row",
    "Span",
    "SpanCorruption",
    "TwoWay",
    "choose_tokens",
    "collate",
    "corrupt",
    "divide",
    "form_of",
    "hide",
    "infill",
    "lay_out",
    "make_objective",
    "noise_counts",
    "permute_sentences",
    "place_spans",
    "rearrange",
    "rotate",
]
