"""`config.json` of the architectures that are only ours: the configuration dataclass as JSON, and back.

The nested options are written as `models.codec` says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourfold.models.codec import plain, read_option
from fourfold.models.recurrent import RecurrentConfig
from fourfold.models.transformer import EncoderDecoderConfig, TransformerConfig

OwnConfig = TransformerConfig | EncoderDecoderConfig | RecurrentConfig
OWN_KINDS: dict[str, type[OwnConfig]] = {
    "fourfold-transformer": TransformerConfig,
    "fourfold-encoder-decoder": EncoderDecoderConfig,
    "fourfold-recurrent": RecurrentConfig,
}
ECOSYSTEM = (
    *("model_type", "architectures", "dtype", "torch_dtype", "transformers_version", "auto_map"),
    *("id2label", "label2id", "num_labels", "problem_type"),
)
"""Keys of `config.json` that are not the architecture's; so are all that end in _id or _ids."""


def write_own(config: OwnConfig) -> dict[str, Any]:
    """The configuration as plain values, its kind as `model_type`."""
    kind = next(name for name, kind in OWN_KINDS.items() if isinstance(config, kind))
    return {"model_type": kind, **plain(config)}


def read_own(keys: Mapping[str, Any], folder: Path) -> OwnConfig:
    """The configuration `write_own` wrote; keys of the whole ecosystem (dtype, token ids) may stand beside it.

    UserError for unknown keys, naming the nearest, and for values of the wrong type.
    """
    where = folder / "config.json"
    kind = OWN_KINDS[keys["model_type"]]
    known = {field.name for field in dataclasses.fields(kind)}
    values = {name: value for name, value in keys.items() if name in known or not _is_common(name)}
    if kind is TransformerConfig and "tied_embeddings" in values:  # as first written, before there were heads to choose
        values.setdefault("head", {"tied": values.pop("tied_embeddings")})
    config: OwnConfig = read_option(kind, values, where)
    return config


def _is_common(name: str) -> bool:
    return name in ECOSYSTEM or name.endswith(("_id", "_ids"))
