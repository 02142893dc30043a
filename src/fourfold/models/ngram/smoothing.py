"""The smoothing methods by name."""

from __future__ import annotations

from collections.abc import Callable

from fourfold.errors import UserError, unknown_name
from fourfold.models.ngram.back_off import katz, stupid_back_off
from fourfold.models.ngram.counts import NGramCounts, Stream
from fourfold.models.ngram.interpolation import (
    absolute_discounting,
    add_k,
    kneser_ney,
    maximum_likelihood,
    modified_kneser_ney,
    witten_bell,
)
from fourfold.models.ngram.jelinek_mercer import fit_jelinek_mercer, jelinek_mercer
from fourfold.models.ngram.shares import Smoothing

UNNORMALISED = "stupid-back-off"
"""The method whose scores are no probabilities."""

SMOOTHINGS: dict[str, Smoothing] = {
    "modified-kneser-ney": modified_kneser_ney,
    "kneser-ney": kneser_ney,
    "absolute-discounting": absolute_discounting,
    "witten-bell": witten_bell,
    "katz": katz,
    "add-k": add_k(1.0),
    "maximum-likelihood": maximum_likelihood,
    UNNORMALISED: stupid_back_off(),
}
FITTED = {"jelinek-mercer": fit_jelinek_mercer}
"""Methods that learn numbers of their own from text held out of the counts."""

WITH_A_NUMBER: dict[str, Callable[[float], Smoothing]] = {
    "add-k": add_k,
    "jelinek-mercer": lambda weight: jelinek_mercer([[weight]]),
    UNNORMALISED: stupid_back_off,
}
"""Methods whose number may follow the name, as in add-k:0.1."""


def smoothing_names() -> list[str]:
    """The names `smoothing_for` takes, beside those with a number."""
    return [*SMOOTHINGS, *FITTED]


def check_smoothing(name: str, *, learns: bool = True) -> None:
    """Raise UserError for a name that leads nowhere, before anything is counted.

    Without `learns` a method that learns from the text is refused too.
    """
    if name not in FITTED:
        smoothing_named(name)
    elif not learns:
        advice = f"Give the weight, as in {name}:0.5, or leave the memory limit out."
        raise UserError(f"{name} learns its weights from a text in memory", advice=advice)


def smoothing_for(name: str, stream: Stream, count: Callable[[Stream], NGramCounts]) -> Smoothing:
    """The method of that name, its own numbers learnt from documents held out of `stream` where it has any."""
    return FITTED[name](stream, count) if name in FITTED else smoothing_named(name)


def smoothing_named(name: str) -> Smoothing:
    """The method of that name, which learns nothing; `add-k:0.1` says the k."""
    base, separator, value = name.partition(":")
    if separator and base in WITH_A_NUMBER:
        try:
            number = float(value)
        except ValueError:
            raise UserError(f"{base} needs a number", expected=f"{base}:0.1, say", got=name) from None
        return WITH_A_NUMBER[base](number)
    if name not in SMOOTHINGS:
        raise unknown_name("smoothing", name, smoothing_names())
    return SMOOTHINGS[name]
