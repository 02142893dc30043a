"""`fourfold quantize`: a model in 4 or 8 bits a weight."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fourfold.cli.console import finish, show_json, show_table
from fourfold.cli.convert import own_model
from fourfold.cli.options import ADAPT, Json, Model, Output, read_input
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.adaptation.quantization import QuantizedLayer
    from fourfold.inference import LanguageModel

commands = typer.Typer()

CHARACTERS = 12_000
"""Of the text that is read to measure with."""


class Reading(NamedTuple):
    """How a model reads a text."""

    bits_per_byte: float
    tokens_per_second: float


@commands.command(rich_help_panel=ADAPT, epilog="Example: fourfold quantize smollm2 -o small --bits 4 --group 64")
def quantize(
    model: Model,
    output: Output,
    method: Annotated[str, typer.Option(help="absmax, or nf4 (4 bits).")] = "absmax",
    bits: Annotated[int, typer.Option(help="4 or 8 bits a weight.")] = 8,
    group: Annotated[
        int | None, typer.Option(help="32, 64 or 128 weights share a scale; a row in 8 bits, 64 in 4 bits if absent.")
    ] = None,
    zero_point: Annotated[bool, typer.Option("--zero-point", help="4 bits: from a group's least value.")] = False,
    head_bits: Annotated[int, typer.Option(help="Bits of the token vectors and the head.")] = 8,
    text: Annotated[
        str | None, typer.Option(help="A text file to measure with; Python's own manual if absent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Quantize the weights of a transformer, and tell what it costs: bits per byte before and after, size, errors.

    The folder runs on Fourfold's kernels: `fourfold chat DIR`, `fourfold serve DIR`.
    """
    from fourfold.adaptation.quantization import QuantizeOptions
    from fourfold.adaptation.quantization import quantize as quantize_module

    options = QuantizeOptions(method=method, bits=bits, group=group, zero_point=zero_point, head_bits=head_bits)
    if output.exists():
        raise UserError("the result has a place already", where=output, advice="Choose another folder.")
    measured = _text(text)
    lm = own_model(model, "fp32")
    before = _read(lm, measured)
    parameters = sum(weight.numel() for weight in _module(lm).parameters())
    layers = list(quantize_module(_module(lm), options))
    after = _read(lm, measured)
    lm.save(output)
    report = _report(lm, layers, parameters, before, after)
    if as_json:
        show_json({**report, "layers": [layer._asdict() for layer in layers]})
    else:
        show_table(_worst(layers), {"name": "weight", "bits": "bits", "group": "group", "error": "relative error"})
        show_table([report], {name: name.replace("_", " ") for name in report})
    finish(where=output, next_command=["chat", output], result_on_stdout=not as_json)


def _text(file: str | None) -> str:
    if file is None:
        from pydoc_data.topics import topics

        return "\n\n".join(topics.values())[:CHARACTERS]
    text = read_input(file)[:CHARACTERS]
    if not text.strip():
        raise UserError("there is no text to measure with", where=file)
    return text


def _module(lm: LanguageModel) -> Any:
    return lm.module


def _read(lm: LanguageModel, text: str) -> Reading:
    began = time.perf_counter()
    (score,) = lm.score([text])
    seconds = time.perf_counter() - began
    return Reading(-score.total / math.log(2) / score.bytes, len(score.ids) / seconds)


def _report(
    lm: LanguageModel, layers: list[QuantizedLayer], parameters: int, before: Reading, after: Reading
) -> dict[str, Any]:
    size = sum(layer.bytes for layer in layers) + sum(weight.nbytes for weight in _module(lm).parameters())
    squares = [(layer.error**2, layer.rows * layer.columns) for layer in layers]
    return {
        "megabytes": round(size / 1e6, 1),
        "megabytes_in_bf16": round(parameters * 2 / 1e6, 1),
        "bits_per_weight": round(size * 8 / parameters, 3),
        "mean_error": round(math.sqrt(sum(e * n for e, n in squares) / sum(n for _, n in squares)), 5),
        "bits_per_byte": round(after.bits_per_byte, 4),
        "bits_per_byte_before": round(before.bits_per_byte, 4),
        "tokens_per_second_read": round(after.tokens_per_second),
        "tokens_per_second_read_in_fp32": round(before.tokens_per_second),
    }


def _worst(layers: list[QuantizedLayer]) -> list[dict[str, Any]]:
    """The five weights that lose most."""
    return [
        {**layer._asdict(), "error": round(layer.error, 5)}
        for layer in sorted(layers, key=lambda layer: layer.error, reverse=True)[:5]
    ]
