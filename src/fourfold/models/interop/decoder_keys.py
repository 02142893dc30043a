"""What several decoder families share beyond `keys.py`: sizes, ends, writers, names within a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fourfold.models.interop.keys import Ends, read_ends, write_task
from fourfold.models.interop.normal import Config
from fourfold.models.interop.parts import LAYER
from fourfold.models.interop.rope import LENGTH, read_context, write_rotary
from fourfold.models.transformer import Head, Rotary, Task, TransformerConfig

ATTENTION = (LAYER + "attention.query", LAYER + "attention.key", LAYER + "attention.value")
"""What one fused projection holds."""
GATE_AND_UP = (LAYER + "feed_forward.gate", LAYER + "feed_forward.up")


def in_layers(theirs: str, names: Mapping[str, str]) -> dict[str, str]:
    """A table of the modules within a layer, with the prefix of the layers on both sides."""
    return {LAYER + our: theirs + their for our, their in names.items()}


def first_of(keys: Mapping[str, Any], *names: str) -> Any:
    """The value under the first of these names that is there, the newest name first; KeyError names the newest."""
    return next((keys[name] for name in names if keys.get(name) is not None), None) or keys[names[0]]


def read_sizes(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of the stack under the names most families use."""
    return {
        "vocabulary_size": keys["vocab_size"],
        "hidden_size": keys["hidden_size"],
        "layers": keys["num_hidden_layers"],
        "context": read_context(keys, 2048),
    }


def read_decoder_ends(keys: Mapping[str, Any], tied: bool, bias: bool = False) -> Ends:
    """A head, tied as the file says or else as the family usually has it, or a classifier of the last token."""
    head = Head(tied=keys.get("tie_word_embeddings", tied), bias=bias)
    return read_ends(keys, head, Task(kind="sequence", classes=2, bias=False))


def writer(
    own: Callable[[TransformerConfig], dict[str, Any] | None], share: float = 1.0
) -> Callable[[Config], dict[str, Any] | None]:
    """A `write_config`: the sizes, the rotary positions if any (`share`: the usual part of a head that turns), and
    the family's `own` keys, which win. None where `own` is None, or the scaling has no name."""

    def write(config: Config) -> dict[str, Any] | None:
        if not isinstance(config, TransformerConfig):
            return None
        rotary, rest = _write_positions(config, share), own(config)
        if rotary is None or rest is None:
            return None
        sizes = {
            "vocab_size": config.vocabulary_size,
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.attention.heads,
            "tie_word_embeddings": config.tied_embeddings,
        }
        return {**sizes, **rotary, **write_task(config), **rest}

    return write


def _write_positions(config: TransformerConfig, share: float) -> dict[str, Any] | None:
    if not isinstance(config.positions, Rotary):
        return {LENGTH: config.context}
    rotary = write_rotary(config)
    if rotary is not None and share != 1.0:
        rotary["rope_parameters"].setdefault("partial_rotary_factor", 1.0)
    return rotary
