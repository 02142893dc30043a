"""`config.json` of the ecosystem's families: read by the family, then checked against what families leave unsaid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from fourfold.errors import UserError
from fourfold.models.codec import plain, read_option
from fourfold.models.interop import Family
from fourfold.models.transformer import EncoderDecoderConfig, TransformerConfig

Config = TransformerConfig | EncoderDecoderConfig

SENSELESS = (TypeError, AttributeError, ValueError, ArithmeticError, LookupError, RecursionError)
"""What reading values of the wrong kind ends in."""

CHANGING: Mapping[str, Any] = {
    "quantization_config": None,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "logits_scaling": 1,
    "logit_scale": 1,
    "residual_multiplier": 1,
    "embedding_multiplier": 1,
    "attention_multiplier": None,
    "clip_qkv": None,
    "rope_interleaved": False,
    "use_mrope": False,
    "use_qk_norm": False,
    "qk_layernorm": False,
    "no_rope_layers": None,
    "attention_chunk_size": None,
    "alibi": False,
    "num_experts": None,
    "n_routed_experts": None,
    "is_decoder": False,
    "add_cross_attention": False,
}
"""Keys that change what is computed, and the value that changes nothing. All other keys a family does not know are
harmless: sizes of caches, ids of tokens, dropout, what trained the model."""


def read_family_config(
    family: Family, keys: Mapping[str, Any], where: Path, tensors: AbstractSet[str] = frozenset()
) -> Config:
    """The configuration in the keys of `config.json`; `tensors` are the names in the files beside it.

    UserError when a key is missing or senseless, or would change the computation in a way the family does not have.
    """
    try:
        keys = family.observed(keys, tensors)
        config = family.read_config(keys)
        checked: Config = read_option(type(config), plain(config), where)
    except KeyError as error:
        raise UserError(f"the configuration lacks the key {error}", where=where) from None
    except SENSELESS as error:
        raise UserError("a key of the configuration has the wrong type", where=where, got=str(error)) from None
    for name in unread(family, config, keys):
        raise UserError(
            f"{name} changes what is computed, which this architecture does not have here",
            where=where, expected=CHANGING[name], got=str(keys[name])[:100],
        )  # fmt: skip
    return checked


def unread(family: Family, config: Config, keys: Mapping[str, Any]) -> Iterator[str]:
    """The keys that change the computation and that the family would not write, so cannot have read."""
    known = family.write_config(config) or {}
    for name, usual in CHANGING.items():
        value = keys.get(name)
        if name not in known and value is not None and value != usual:
            yield name
