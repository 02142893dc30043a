"""`config.json` of the architectures that are only ours: the configuration dataclass as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from fourfold.errors import UserError, unknown_name
from fourfold.models.recurrent import RecurrentConfig
from fourfold.models.transformer import Attention, FeedForward, Learned, Norm, Rotary, TransformerConfig

RECURRENT, TRANSFORMER = "fourfold-recurrent", "fourfold-transformer"
OWN_KINDS = (RECURRENT, TRANSFORMER)
POSITIONS = {"rotary": Rotary, "learned": Learned}

T = TypeVar("T")


def write_own(config: TransformerConfig | RecurrentConfig) -> dict[str, Any]:
    """The configuration as plain values, its kind as `model_type`."""
    values = dataclasses.asdict(config)
    if isinstance(config, RecurrentConfig):
        return {"model_type": RECURRENT, **values}
    kind = next(name for name, option in POSITIONS.items() if isinstance(config.positions, option))
    return {"model_type": TRANSFORMER, **values, "positions": {"kind": kind, **values["positions"]}}


def read_own(keys: Mapping[str, Any], folder: Path) -> TransformerConfig | RecurrentConfig:
    """The configuration `write_own` wrote; keys of the whole ecosystem (dtype, token ids) may stand beside it."""
    where = folder / "config.json"
    if keys["model_type"] == RECURRENT:
        return _build(RECURRENT, RecurrentConfig, keys, where)
    parts = {
        "attention": _build("attention", Attention, keys.get("attention", {}), where),
        "feed_forward": _build("feed_forward", FeedForward, keys.get("feed_forward", {}), where),
        "norm": _build("norm", Norm, keys.get("norm", {}), where),
    }
    positions = dict(keys.get("positions", {}))
    kind = str(positions.pop("kind", "rotary"))
    if kind not in POSITIONS:
        raise unknown_name("position encoding", kind, POSITIONS, where)
    parts["positions"] = _build("positions", POSITIONS[kind], positions, where)
    return _build(TRANSFORMER, TransformerConfig, {**keys, **parts}, where)


def _build(what: str, option: type[T], values: Mapping[str, Any], where: Path) -> T:
    assert dataclasses.is_dataclass(option)
    known = {field.name for field in dataclasses.fields(option)}
    chosen = {name: value for name, value in values.items() if name in known}
    try:
        return option(**chosen)
    except TypeError as error:
        raise UserError(f"the configuration of '{what}' is incomplete", where=where, got=str(error)) from None
