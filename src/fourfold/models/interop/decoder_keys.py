"""What several decoder families share beyond `keys.py`: sizes, ends, writers, names within a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fourfold.models.interop.keys import Ends, read_activation, read_ends, write_task
from fourfold.models.interop.normal import Config
from fourfold.models.interop.parts import LAYER
from fourfold.models.interop.rope import LENGTH, read_context, write_rotary
from fourfold.models.transformer import FeedForward, Head, Rotary, Task, TransformerConfig

ATTENTION = (LAYER + "attention.query", LAYER + "attention.key", LAYER + "attention.value")
"""What one fused projection holds."""
GATE_AND_UP = (LAYER + "feed_forward.gate", LAYER + "feed_forward.up")


class Sizes(NamedTuple):
    """What a family calls the sizes of the stack."""

    vocabulary: str = "vocab_size"
    width: str = "hidden_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    context: str = LENGTH


USUAL_SIZES = Sizes()


def in_layers(theirs: str, names: Mapping[str, str]) -> dict[str, str]:
    """A table of the modules within a layer, with the prefix of the layers on both sides."""
    return {LAYER + our: theirs + their for our, their in names.items()}


def first_of(keys: Mapping[str, Any], *names: str) -> Any:
    """The value under the first of these names that is there, the newest name first; KeyError names the newest."""
    return next((keys[name] for name in names if keys.get(name) is not None), None) or keys[names[0]]


def read_sizes(keys: Mapping[str, Any], sizes: Sizes = USUAL_SIZES) -> dict[str, Any]:
    """The sizes of the stack, as arguments of `TransformerConfig`."""
    return {
        "vocabulary_size": keys[sizes.vocabulary],
        "hidden_size": keys[sizes.width],
        "layers": keys[sizes.layers],
        "context": read_context(keys, 2048) if sizes.context == LENGTH else keys[sizes.context],
    }


def plain_feed_forward(size: int, activation: str, bias: bool = True) -> FeedForward:
    """Two matrices with `activation`, as files call it, between them."""
    return FeedForward(size=size, activation=read_activation(activation), gated=False, bias=bias)


def read_decoder_ends(keys: Mapping[str, Any], tied: bool, bias: bool = False) -> Ends:
    """A head, tied as the file says or else as the family usually has it, or a classifier of the last token."""
    head = Head(tied=keys.get("tie_word_embeddings", tied), bias=bias)
    return read_ends(keys, head, Task(kind="sequence", classes=2, bias=False))


def writer(
    own: Callable[[TransformerConfig], dict[str, Any] | None], share: float = 1.0, sizes: Sizes = USUAL_SIZES
) -> Callable[[Config], dict[str, Any] | None]:
    """A `write_config`: the sizes, the rotary positions if any (`share`: the usual part of a head that turns), and
    the family's `own` keys, which win. None where `own` is None, or the scaling has no name."""

    def write(config: Config) -> dict[str, Any] | None:
        if not isinstance(config, TransformerConfig):
            return None
        positions, rest = _write_positions(config, share, sizes.context), own(config)
        if positions is None or rest is None:
            return None
        stack = {
            sizes.vocabulary: config.vocabulary_size,
            sizes.width: config.hidden_size,
            sizes.layers: config.layers,
            sizes.heads: config.attention.heads,
            "tie_word_embeddings": config.tied_embeddings,
        }
        return {**stack, **positions, **write_task(config), **rest}

    return write


def _write_positions(config: TransformerConfig, share: float, context: str) -> dict[str, Any] | None:
    if not isinstance(config.positions, Rotary):
        return {context: config.context}
    rotary = write_rotary(config)
    if rotary is None:
        return None
    if share != 1.0:
        rotary["rope_parameters"].setdefault("partial_rotary_factor", 1.0)
    return {context: rotary.pop(LENGTH), **rotary}
