"""The axes along which a recipe may change a family: flat keys such as `norm_place`, values checked by the option.

`{ family = "llama", norm_place = "post", positions = "alibi" }` is a Llama with two things changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourfold.errors import UserError
from fourfold.models.codec import hints_of, plain, read_option, read_value
from fourfold.models.transformer import (
    Attention,
    Embedding,
    EncoderDecoderConfig,
    FeedForward,
    Head,
    Norm,
    TransformerConfig,
)

Path = tuple[type[Any], tuple[str, ...]]
AXES: dict[str, tuple[Path, ...]] = {
    "norm": ((Norm, ("norm", "kind")),),
    "norm_place": ((Norm, ("norm", "place")),),
    "positions": ((TransformerConfig, ("positions",)),),
    "local_positions": ((TransformerConfig, ("local_positions",)),),
    "query_key_norm": ((Attention, ("attention", "norm")),),
    "attention_softcap": ((Attention, ("attention", "softcap")),),
    "windows": ((Attention, ("attention", "windows")),),
    "activation": ((FeedForward, ("feed_forward", "activation")),),
    "gated": ((FeedForward, ("feed_forward", "gated")),),
    "experts": ((FeedForward, ("feed_forward", "experts")),),
    "bias": ((Attention, ("attention", "bias")), (FeedForward, ("feed_forward", "bias"))),
    "embedding_size": ((Embedding, ("embedding", "size")),),
    "embedding_scale": ((Embedding, ("embedding", "scale")),),
    "embedding_norm": ((Embedding, ("embedding", "norm")),),
    "segments": ((Embedding, ("embedding", "segments")),),
    "logit_softcap": ((Head, ("head", "softcap")),),
    "pooler": ((TransformerConfig, ("pooler",)),),
    "task": ((TransformerConfig, ("task",)),),
    "mask": ((TransformerConfig, ("mask",)),),
    "residual": ((TransformerConfig, ("residual",)),),
    "initialisation": ((TransformerConfig, ("initialisation",)),),
}
"""The key of a recipe, the option that has the field, where it stands in `TransformerConfig`."""

SHORT = {"positions": "kind", "local_positions": "kind", "initialisation": "kind", "experts": "count"}
"""Axes whose value may be the one word or number that says most: `positions = "alibi"`, `experts = 8`."""


def with_axes(
    config: TransformerConfig | EncoderDecoderConfig, axes: Mapping[str, Any]
) -> TransformerConfig | EncoderDecoderConfig:
    """The configuration with these axes changed, in both stacks where there are two; UserError for senseless values.

    All changes are made at once, so only their combination has to make sense.
    """
    if not axes:
        return config
    values = plain(config)
    both = isinstance(config, EncoderDecoderConfig)
    for axis, value in axes.items():
        value = _written_out(axis, value)
        for option, path in AXES[axis]:
            checked = plain(read_value(hints_of(option)[path[-1]], value, None, axis))
            for stack in (values["encoder"], values["decoder"]) if both else (values,):
                _set(stack, path, checked)
    changed: TransformerConfig | EncoderDecoderConfig = read_option(type(config), values, None)
    return changed


def _written_out(axis: str, value: Any) -> Any:
    """Short spellings in full; in a list of windows 0 stands for no window, as TOML has no null."""
    if axis == "windows":
        windows = value if isinstance(value, list | tuple) else [value]
        return [None if window == 0 else window for window in windows]
    if axis in SHORT and not isinstance(value, Mapping):
        return {SHORT[axis]: value}
    return value


def _set(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    for parent in parents:
        values = values[parent]
        if values is None:  # an encoder has no head to change
            return
    values[last] = value


def refuse_axes(family: str, axes: Mapping[str, Any]) -> None:
    """UserError when there are any: the family has none."""
    if axes:
        raise UserError(f"a model of family '{family}' has no such option", got=next(iter(axes)))
