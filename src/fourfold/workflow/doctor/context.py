"""How long a text may be: the configuration, the scaling of rotary positions, and what the tokenizer cuts to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fourfold.models import TransformerConfig
from fourfold.models.transformer import Learned
from fourfold.workflow.doctor.findings import Check, Fact, Outcome, Words, kind
from fourfold.workflow.doctor.model import Model

UNSET = 10**9
"""Tokenizers write a huge number where they mean no limit."""
NEAR = 0.02

SCALING_UNLIKE = kind("rope-context-mismatch")
ORIGINAL_LARGER = kind("rope-original-larger")
SHRINKS = kind("rope-factor")
ALWAYS_ON = kind("rope-scaled-short")
TOO_LONG = kind("tokenizer-exceeds-context")
CUTS_EARLY = kind("tokenizer-cuts-early")


def check(model: Model) -> Iterator[Outcome]:
    context = model.context
    if context is not None and model.form != "ngram":
        yield Fact("context", Words("context", "上下文"), Words(f"{context:,} tokens", f"{context:,} 个词元"))
    if model.form != "folder":
        return
    yield from _scaling(model.config)
    yield from _tokenizer(model, context)


def _scaling(config: Mapping[str, Any]) -> Iterator[Outcome]:
    options = config.get("rope_scaling") or config.get("rope_parameters")
    said = config.get("max_position_embeddings")
    if not isinstance(options, dict) or type(said) is not int:
        return
    type_, factor = options.get("rope_type", options.get("type")), options.get("factor")
    if not isinstance(factor, int | float) or isinstance(factor, bool):
        return
    if factor < 1:
        yield SHRINKS.at("config.json", factor=float(factor))
        return
    original = options.get("original_max_position_embeddings", config.get("original_max_position_embeddings"))
    if type(original) is not int or original < 1:
        return
    if original > said:
        yield ORIGINAL_LARGER.at("config.json", original=f"{original:,}", said=f"{said:,}")
    elif type_ in ("yarn", "linear"):
        reached = round(original * factor)
        # A length left as it was is how several models ship: the scaling is there for servers that stretch it.
        if abs(said - reached) > NEAR * reached and said != original:
            yield SCALING_UNLIKE.at(
                "config.json", type=type_, original=f"{original:,}", factor=float(factor), reached=f"{reached:,}",
                said=f"{said:,}",
            )  # fmt: skip
        elif type_ == "yarn":
            yield ALWAYS_ON.at("config.json", type=type_, original=f"{original:,}")


def _tokenizer(model: Model, context: int | None) -> Iterator[Outcome]:
    limit = model.settings.get("model_max_length")
    if type(limit) is not int or context is None or limit >= UNSET or limit < 1:
        return
    config = model.described.config if model.described is not None else None
    table = isinstance(config, TransformerConfig) and isinstance(config.positions, Learned)
    numbers = {"limit": f"{limit:,}", "context": f"{context:,}"}
    if limit > context and table:
        yield TOO_LONG.at("tokenizer_config.json", **numbers)
    elif limit < context and model.direction == "decoder":
        yield CUTS_EARLY.at("tokenizer_config.json", **numbers)


CHECK: Check[Model] = Check(
    title=Words("Context", "上下文"),
    run=check,
    kinds=(SCALING_UNLIKE, ORIGINAL_LARGER, SHRINKS, ALWAYS_ON, TOO_LONG, CUTS_EARLY),
)
