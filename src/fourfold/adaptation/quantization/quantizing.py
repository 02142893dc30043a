"""Quantize a model in place: each linear layer and the table of token vectors gets a packed weight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from fourfold.adaptation.quantization.methods import METHODS, QuantizeOptions
from fourfold.errors import UserError
from fourfold.kernels import dense
from fourfold.models import (
    EncoderDecoder,
    Linear,
    Packed,
    TransformerLM,
    hold,
    is_packed,
    places_to_pack,
    settle,
)

ENDS = ("embedding", "projection")
END_GROUP = 32


class QuantizedLayer(NamedTuple):
    """What became of one weight."""

    name: str
    rows: int
    columns: int
    bits: int
    group: int
    bytes: int
    error: float
    """|W - W'| / |W|, Frobenius norms."""


def quantize(module: nn.Module, options: QuantizeOptions) -> Iterator[QuantizedLayer]:
    """Replace the weights one by one, each told when it is done; the rest of the model is fp32 then.

    Nothing is changed before the first is asked for; a model that is not asked to the end is quantized in part.
    """
    _check(module)
    module.float()
    with torch.no_grad():
        for name in places_to_pack(module):
            yield _quantize_one(module, name, options)
    settle(module)


def _check(module: nn.Module) -> None:
    if not isinstance(module, TransformerLM | EncoderDecoder):
        raise UserError("only transformers are quantized to packed weights", got=type(module).__name__)
    if isinstance(module, EncoderDecoder):
        raise UserError("encoder-decoders share one table of token vectors, which cannot be packed yet")
    if is_packed(module):
        raise UserError("the model is quantized already", advice="Start from the model as it was trained.")
    if any(len(layer.deltas) for layer in module.modules() if isinstance(layer, Linear)):
        raise UserError("the model carries an adapter", advice="Merge it first: fourfold convert.")
    if any(not bool(weight.isfinite().all()) for weight in module.parameters()):
        raise UserError("the model has weights that are not numbers", advice="fourfold doctor says which.")


def _quantize_one(module: nn.Module, name: str, options: QuantizeOptions) -> QuantizedLayer:
    weight = module.get_parameter(f"{name}.weight").detach()
    if name.rpartition(".")[2] in ENDS and options.head_bits == 8:
        options = replace(options, method="absmax", bits=8, group=END_GROUP, zero_point=False)
    matrix = METHODS[options.method](weight, options, None)
    rounded = dense(matrix)
    if not bool(rounded.isfinite().all()):
        raise UserError(f"the weight '{name}' is too large for scales in fp16", got=float(weight.abs().max()))
    error = float((weight - rounded).norm() / weight.norm().clamp(min=torch.finfo(torch.float32).tiny))
    packed = Packed(matrix)
    hold(module, name, packed)
    return QuantizedLayer(name, matrix.rows, matrix.columns, matrix.bits, matrix.group, packed.bytes, error)
