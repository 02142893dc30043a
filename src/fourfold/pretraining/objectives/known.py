"""The objectives by the name a recipe gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_origin, get_type_hints

from fourfold.errors import UserError, unknown_name
from fourfold.models import EncoderDecoderConfig, TransformerConfig
from fourfold.pretraining.objectives.denoising import Denoising
from fourfold.pretraining.objectives.examples import Form, PretrainingObjective
from fourfold.pretraining.objectives.infilling import Infilling
from fourfold.pretraining.objectives.masking import MaskedLM
from fourfold.pretraining.objectives.mixture import MixtureOfDenoisers
from fourfold.pretraining.objectives.prediction import Causal, PrefixLM, TwoWay
from fourfold.pretraining.objectives.spans import SpanCorruption

OBJECTIVES: Mapping[str, Callable[..., PretrainingObjective]] = {
    "causal": Causal,
    "prefix": PrefixLM,
    "masked": MaskedLM,
    "both-directions": TwoWay,
    "span-corruption": SpanCorruption,
    "denoising": Denoising,
    "mixture": MixtureOfDenoisers,
    "infilling": Infilling,
}


def make_objective(table: Mapping[str, Any]) -> PretrainingObjective:
    """The objective of a recipe's table, `kind` and its options; UserError for what it does not know."""
    options = dict(table)
    kind = options.pop("kind", None)
    if kind not in OBJECTIVES:
        raise unknown_name("objective", str(kind), OBJECTIVES)
    made: Any = OBJECTIVES[kind]
    known = {field.name: get_type_hints(made)[field.name] for field in fields(made)}
    for key, value in options.items():
        if key not in known:
            raise unknown_name(f"option of the objective {kind}", key, known)
        if not _fits(value, known[key]):
            raise UserError(f"option {key} of the objective {kind} has the wrong type", got=repr(value))
    objective: PretrainingObjective = made(**options)
    return objective


def _fits(value: object, wanted: Any) -> bool:
    """Whether a value of a TOML file can be the option; which words are allowed is the objective's to say."""
    if wanted is bool or isinstance(value, bool):
        return wanted is bool and isinstance(value, bool)
    if wanted is float:
        return isinstance(value, int | float)
    if get_origin(wanted) is tuple:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str)


def form_of(config: TransformerConfig | EncoderDecoderConfig) -> Form:
    """What kind of example a model of that configuration reads."""
    return "encoder-decoder" if isinstance(config, EncoderDecoderConfig) else config.mask
