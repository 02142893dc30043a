"""Options, the frozen dataclasses a configuration nests, as plain values (JSON, TOML) and back.

Nested options are objects; an option that is one of several (positions, their scaling) has its name under `kind`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fourfold.errors import UserError, unknown_name
from fourfold.models.transformer import (
    ALiBi,
    DynamicNTKScaling,
    Learned,
    LinearScaling,
    Llama3Scaling,
    NoPositions,
    NTKScaling,
    Relative,
    Rotary,
    Sinusoidal,
    YaRNScaling,
)

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


def plain(value: Any) -> Any:
    """Options as objects, tuples as lists, the rest as it is."""
    if isinstance(value, tuple):
        return list(value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    kind = next((name for name, option in KINDS.items() if type(value) is option), None)
    fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return fields if kind is None else {"kind": kind, **fields}


_HINTS: dict[type[Any], dict[str, Any]] = {}


def hints_of(option: type[Any]) -> dict[str, Any]:
    """The types of its fields; resolving them is slow, so it is done once."""
    if option not in _HINTS:
        _HINTS[option] = get_type_hints(option)
    return _HINTS[option]


def read_option(option: type[Any], values: Any, where: object, name: str = "configuration") -> Any:
    """One frozen dataclass of options from plain values, its nested options included."""
    if not isinstance(values, Mapping):
        raise UserError(f"the value of '{name}' has the wrong type", where=where, expected="an object", got=values)
    hints = hints_of(option)
    unknown = next((key for key in values if key not in hints), None)
    if unknown is not None:
        raise unknown_name(f"key of '{name}'", unknown, hints, where)
    chosen = {key: read_value(hints[key], value, where, key) for key, value in values.items()}
    try:
        return option(**chosen)
    except TypeError as error:
        raise UserError(f"the configuration of '{name}' is incomplete", where=where, got=str(error)) from None


def read_value(hint: Any, value: Any, where: object, name: str) -> Any:
    """`value` as a field of that type takes it."""
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    options = [choice for choice in choices if dataclasses.is_dataclass(choice)]
    if isinstance(value, Mapping) and options:
        return _read_one_of(options, value, where, name)
    if isinstance(value, list):
        items = [get_args(choice)[0] for choice in choices if get_origin(choice) is tuple]
        if items:
            return tuple(read_value(items[0], item, where, name) for item in value)
    if any(_fits(choice, value) for choice in choices):
        return value
    names = [str(name) for choice in choices if get_origin(choice) is Literal for name in get_args(choice)]
    if names and isinstance(value, str):
        raise unknown_name(f"value of '{name}'", value, names, where)
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
