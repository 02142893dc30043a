"""Weights in few bits: which codes stand for a weight. `models/packed.py` holds and multiplies them."""

from fourfold.adaptation.quantization.methods import (
    METHODS,
    QuantizeOptions,
    absmax,
    normal_float,
)
from fourfold.adaptation.quantization.quantizing import QuantizedLayer, quantize

__all__ = ["METHODS", "QuantizeOptions", "QuantizedLayer", "absmax", "normal_float", "quantize"]
