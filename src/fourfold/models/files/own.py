"""`config.json` of the architectures that are only ours: the configuration dataclass as JSON, and back.

Nested options are objects; an option that is one of several (positions, their scaling) has its name under `kind`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fourfold.errors import UserError, unknown_name
from fourfold.models.recurrent import RecurrentConfig
from fourfold.models.transformer import (
    ALiBi,
    DynamicNTKScaling,
    EncoderDecoderConfig,
    Learned,
    LinearScaling,
    Llama3Scaling,
    NoPositions,
    NTKScaling,
    Relative,
    Rotary,
    Sinusoidal,
    TransformerConfig,
    YaRNScaling,
)

OwnConfig = TransformerConfig | EncoderDecoderConfig | RecurrentConfig
OWN_KINDS: dict[str, type[OwnConfig]] = {
    "fourfold-transformer": TransformerConfig,
    "fourfold-encoder-decoder": EncoderDecoderConfig,
    "fourfold-recurrent": RecurrentConfig,
}
KINDS: dict[str, type] = {
    "rotary": Rotary,
    "learned": Learned,
    "sinusoidal": Sinusoidal,
    "relative": Relative,
    "alibi": ALiBi,
    "none": NoPositions,
    "linear": LinearScaling,
    "ntk": NTKScaling,
    "dynamic": DynamicNTKScaling,
    "yarn": YaRNScaling,
    "llama3": Llama3Scaling,
}
"""The name of each option that stands where one of several may."""
ECOSYSTEM = ("model_type", "architectures", "dtype", "torch_dtype", "transformers_version", "auto_map")
"""Keys of `config.json` that are not the architecture's; so are all that end in _id or _ids."""


def write_own(config: OwnConfig) -> dict[str, Any]:
    """The configuration as plain values, its kind as `model_type`."""
    kind = next(name for name, kind in OWN_KINDS.items() if isinstance(config, kind))
    return {"model_type": kind, **_plain(config)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    kind = next((name for name, option in KINDS.items() if type(value) is option), None)
    fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return fields if kind is None else {"kind": kind, **fields}


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


def read_option(option: type[Any], values: Any, where: object, name: str = "configuration") -> Any:
    """One frozen dataclass of options from plain values, its nested options included."""
    if not isinstance(values, Mapping):
        raise UserError(f"the value of '{name}' has the wrong type", where=where, expected="an object", got=values)
    hints = get_type_hints(option)
    unknown = next((key for key in values if key not in hints), None)
    if unknown is not None:
        raise unknown_name(f"key of '{name}'", unknown, hints, where)
    chosen = {key: _read(hints[key], value, where, key) for key, value in values.items()}
    try:
        return option(**chosen)
    except TypeError as error:
        raise UserError(f"the configuration of '{name}' is incomplete", where=where, got=str(error)) from None


def _read(hint: Any, value: Any, where: object, name: str) -> Any:
    """`value` as a field of that type takes it."""
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    options = [choice for choice in choices if dataclasses.is_dataclass(choice)]
    if isinstance(value, Mapping) and options:
        return _read_one_of(options, value, where, name)
    if isinstance(value, list):
        items = [get_args(choice)[0] for choice in choices if get_origin(choice) is tuple]
        if items:
            return tuple(_read(items[0], item, where, name) for item in value)
    if any(_fits(choice, value) for choice in choices):
        return value
    expected = " or ".join(_told(choice) for choice in choices)
    raise UserError(f"the value of '{name}' has the wrong type", where=where, expected=expected, got=repr(value))


def _read_one_of(options: list[Any], values: Mapping[str, Any], where: object, name: str) -> Any:
    if len(options) == 1:
        return read_option(options[0], values, where, name)
    kinds = {kind: option for kind, option in KINDS.items() if option in options}
    usual = "rotary" if "rotary" in kinds else ""
    kind = str(values.get("kind", usual))
    if kind not in kinds:
        raise unknown_name(f"kind of '{name}'", kind, kinds, where)
    return read_option(kinds[kind], {key: value for key, value in values.items() if key != "kind"}, where, name)


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _told(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return "a list"
    return "none" if hint is type(None) else str(getattr(hint, "__name__", hint))
