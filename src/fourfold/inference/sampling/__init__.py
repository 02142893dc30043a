"""Choosing the next token: what may be chosen, and the draw."""

from fourfold.inference.sampling.drawing import draw, draw_from_all, highest, largest, log_total
from fourfold.inference.sampling.history import History, penalise, penalise_repetition
from fourfold.inference.sampling.sampler import Matcher, Sampler, choose_many, top_alternatives
from fourfold.inference.sampling.transforms import (
    keep_min_p,
    keep_top_p,
    keep_typical,
    scale_temperature,
)

__all__ = [
    "History",
    "Matcher",
    "Sampler",
    "choose_many",
    "draw",
    "draw_from_all",
    "highest",
    "keep_min_p",
    "keep_top_p",
    "keep_typical",
    "largest",
    "log_total",
    "penalise",
    "penalise_repetition",
    "scale_temperature",
    "top_alternatives",
]
